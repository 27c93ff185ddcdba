// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Audit} from "../src/Audit.sol";
import {Channels} from "../src/Channels.sol";
import {Registry} from "../src/Registry.sol";
import {AuditTest} from "./support/AuditTest.sol";
import {ChannelsTest} from "./support/ChannelsTest.sol";
import {Trees} from "./support/Trees.sol";

/// @dev What senders pay: each call is a transaction of its own (`isolate`), so the figures hold the 21,000 of a transaction, its data, and
/// refunds. Compared with contracts/.gas-snapshot/; `FORGE_SNAPSHOT_CHECK=false forge test --match-contract Gas` writes it anew.
/// forge-config: default.isolate = true
/// forge-config: deep.isolate = true
contract ChannelsGasTest is ChannelsTest {
    function setUp() public override {
        super.setUp();
        // A contract in use: it has been paid in both coins before.
        open(1 ether);
        openToken(address(token), 1 ether);
    }

    function note(string memory name) private returns (uint256) {
        return vm.snapshotGasLastCall("Channels", name);
    }

    function withdraw(address of_, uint256 amount) private {
        vm.prank(payee);
        channels.withdraw(of_, payee, amount);
    }

    function test_GasOfTheNativeCoin() external {
        bytes32 id = open(1 ether);
        assertTrue(note("open, native coin") <= 140_000, "open costs at most 140,000 gas");
        vm.prank(payer);
        channels.topUp{value: 1 ether}(id, 1 ether);
        note("topUp, native coin");

        bytes memory signature = voucher(id, 0.1 ether);
        channels.claim(id, 0.1 ether, signature);
        note("claim, the payee's first credit ever");
        signature = voucher(id, 0.2 ether);
        channels.claim(id, 0.2 ether, signature);
        assertTrue(note("claim, native coin") <= 45_000, "a claim costs at most 45,000 gas");

        withdraw(NATIVE, 0.1 ether);
        note("withdraw, native coin");
        withdraw(NATIVE, 0.1 ether - 1);
        note("withdraw, native coin, leaving one wei");

        signature = voucher(id, 0.3 ether);
        vm.prank(payee);
        channels.close(id, 0.3 ether, signature);
        note("close with a voucher, native coin");
    }

    function test_GasOfAToken() external {
        bytes32 id = openToken(address(token), 1 ether);
        assertTrue(note("open, token") <= 140_000, "open costs at most 140,000 gas");
        vm.prank(payer);
        channels.topUp(id, 1 ether);
        note("topUp, token");
        claim(id, 0.1 ether);
        bytes memory signature = voucher(id, 0.2 ether);
        channels.claim(id, 0.2 ether, signature);
        assertTrue(note("claim, token") <= 45_000, "a claim costs at most 45,000 gas");
        withdraw(address(token), 0.1 ether);
        note("withdraw, token, the first to this account");
    }

    function test_GasOfAnExit() external {
        bytes32 id = open(1 ether);
        vm.prank(payer);
        channels.startExit(id);
        note("startExit");
        vm.warp(block.timestamp + DELAY);
        vm.prank(payer);
        channels.finishExit(id);
        note("finishExit");
    }

    function test_GasOfManyClaims() external {
        Channels.Claim[] memory claims = new Channels.Claim[](10);
        for (uint256 i = 0; i < claims.length; i++) {
            bytes32 id = open(1 ether);
            claims[i] = Channels.Claim(id, 1, voucher(id, 1));
        }
        channels.claimMany(claims);
        note("claimMany of 10, the payee's first credit ever");
        for (uint256 i = 0; i < claims.length; i++) {
            claims[i] = Channels.Claim(claims[i].id, 2, voucher(claims[i].id, 2));
        }
        channels.claimMany(claims);
        note("claimMany of 10");
    }
}

/// forge-config: default.isolate = true
/// forge-config: deep.isolate = true
contract AuditGasTest is AuditTest {
    function note(string memory group, string memory name) private returns (uint256) {
        return vm.snapshotGasLastCall(group, name);
    }

    function test_GasOfARegistration() external {
        vm.prank(provider);
        registry.register{value: 1}("https://node.example:8081", keccak256("capabilities"), "eu-west");
        note("Registry", "register with a url of 25 bytes and stake");
        vm.prank(provider);
        registry.stake{value: 1}(provider);
        note("Registry", "stake");
        vm.prank(provider);
        registry.pledge(uint64(block.timestamp) + 30 days);
        note("Registry", "pledge");
        vm.prank(provider);
        registry.startUnbonding(1);
        note("Registry", "startUnbonding");
        vm.warp(block.timestamp + 30 days);
        vm.prank(provider);
        registry.finishUnbonding();
        note("Registry", "finishUnbonding");
        vm.prank(provider);
        registry.deregister();
        note("Registry", "deregister");
    }

    function test_GasOfAChallenge() external {
        Audit.Custody memory custody = custodyOf(1);
        uint64 leaf = challenge(custody);
        note("Audit", "challenge");
        answer(custody, 1, leaf);
        note("Audit", "answer, 11 leaves");

        Audit.Custody memory other = custodyOf(2);
        challenge(other);
        vm.warp(block.timestamp + 25 hours);
        audit.timeout(other);
        note("Audit", "timeout");

        Audit.Custody memory third = custodyOf(3);
        bytes memory released = sign(REQUESTER_KEY, audit.releaseDigest(audit.custodyId(third)));
        audit.release(third, released);
        note("Audit", "release before a challenge");
    }

    /// @dev The dearest answer that there is: the longest path, hardly a zero byte in the data, and a provider without credit.
    function test_TheDearestAnswerNeedsNoMoreGasThanTheBondIsMadeFor() external {
        Audit.Custody memory custody = custodyOf(1);
        custody.leafCount = 1 << 34;
        uint64 leaf = 0x2aaaaaaaa; // left and right in turn
        bytes memory bytes_ = Trees.leaf(1, leaf);
        bytes32[] memory path = new bytes32[](34);
        custody.root = Trees.leafDigest(leaf, bytes_);
        for (uint256 i = 0; i < 34; i++) {
            path[i] = keccak256(abi.encode(i));
            bytes memory pair =
                (leaf >> i) % 2 == 1 ? bytes.concat(path[i], custody.root) : bytes.concat(custody.root, path[i]);
            custody.root = sha256(pair);
        }
        challenge(custody);
        // The leaf that is drawn depends on the root, so it is put in place of the one that was drawn.
        bytes32 slot = bytes32(uint256(keccak256(abi.encode(audit.custodyId(custody), 3))) + 1);
        uint256 drawn = uint256(vm.load(address(audit), slot));
        vm.store(address(audit), slot, bytes32((drawn >> 64 << 64) | leaf));
        assertEq(audit.challengeOf(audit.custodyId(custody)).leaf, leaf, "leaf");

        audit.answer(custody, bytes_, path);
        uint256 needed = note("Audit", "answer, 2^34 leaves");
        assertTrue(needed <= audit.ANSWER_GAS(), "the bond covers it");
    }
}
