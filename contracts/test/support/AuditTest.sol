// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Audit} from "../../src/Audit.sol";
import {Registry} from "../../src/Registry.sol";
import {Test} from "./Test.sol";
import {Trees} from "./Trees.sol";

/// @dev A provider with stake, a requester, an auditor, and a shard of eleven leaves.
abstract contract AuditTest is Test {
    uint256 internal constant PROVIDER_KEY = 0x9120;
    uint256 internal constant REQUESTER_KEY = 0x4e9;
    uint64 internal constant LEAVES = 11;
    uint128 internal constant PENALTY = 1 ether;

    Audit internal audit;
    Registry internal registry;
    address internal provider = vm.addr(PROVIDER_KEY);
    address internal requester = vm.addr(REQUESTER_KEY);
    address internal auditor = address(0xa0d);

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        vm.fee(10 gwei);
        vm.prevrandao(keccak256("block"));
        audit = new Audit();
        registry = audit.REGISTRY();
        vm.deal(provider, 10 ether);
        vm.deal(auditor, 10 ether);
        vm.prank(provider);
        registry.stake{value: 5 ether}(provider);
    }

    function custodyOf(uint256 shard) internal view returns (Audit.Custody memory) {
        (bytes32 root,) = Trees.build(shard, LEAVES, 0);
        return Audit.Custody({
            provider: provider,
            requester: requester,
            root: root,
            leafCount: LEAVES,
            expiresAt: uint64(block.timestamp) + 30 days,
            penalty: PENALTY,
            lease: keccak256(abi.encode("lease", shard))
        });
    }

    function challenge(Audit.Custody memory custody) internal returns (uint64) {
        bytes memory signature = sign(PROVIDER_KEY, audit.custodyId(custody));
        uint256 bond = audit.requiredBond();
        vm.prank(auditor);
        return audit.challenge{value: bond}(custody, signature);
    }

    function answer(Audit.Custody memory custody, uint256 shard, uint64 leaf) internal {
        answerExpecting("", custody, shard, leaf);
    }

    /// @dev Answers, and expects this failure when it is not empty. Making the proof calls precompiles, which `expectRevert` would take for
    /// the call that it waits for.
    function answerExpecting(bytes memory reason, Audit.Custody memory custody, uint256 shard, uint64 leaf) internal {
        (, bytes32[] memory path) = Trees.build(shard, LEAVES, leaf);
        if (reason.length > 0) vm.expectRevert(reason);
        audit.answer(custody, Trees.leaf(shard, leaf), path);
    }
}
