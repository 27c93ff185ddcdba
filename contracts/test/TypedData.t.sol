// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Audit} from "../src/Audit.sol";
import {Channels} from "../src/Channels.sol";
import {Test} from "./support/Test.sol";

/// @dev The digests that nodes sign are those that the contracts compute. test/contracts/typed-data.test.ts holds nodes
/// to the same vectors.
contract TypedDataTest is Test {
    string private json;
    uint256 private chainId;

    function setUp() external {
        json = vm.readFile("test/vectors/contracts.json");
        chainId = vm.parseJsonUint(json, ".chainId");
        vm.chainId(chainId);
    }

    /// @dev A copy of a contract at the address that the vectors name. Its domain separator is computed for that address then.
    function place(address contract_, string memory key) private returns (address where) {
        where = address(uint160(vm.parseJsonUint(json, key)));
        vm.etch(where, contract_.code);
    }

    function test_AVoucherHasTheDigestThatNodesSign() external {
        Channels channels = Channels(place(address(new Channels()), ".contract"));
        bytes32 id = vm.parseJsonBytes32(json, ".voucher.channelId");
        uint128 cumulative = uint128(vm.parseJsonUint(json, ".voucher.cumulative"));
        assertEq(channels.voucherDigest(id, cumulative), vm.parseJsonBytes32(json, ".voucher.digest"), "voucher");
    }

    function test_CustodyAndReleaseHaveTheDigestsThatNodesSign() external {
        Audit audit = Audit(place(address(new Audit()), ".contract"));
        Audit.Custody memory custody = Audit.Custody({
            provider: address(uint160(vm.parseJsonUint(json, ".custody.provider"))),
            requester: address(uint160(vm.parseJsonUint(json, ".custody.requester"))),
            root: vm.parseJsonBytes32(json, ".custody.root"),
            leafCount: uint64(vm.parseJsonUint(json, ".custody.leafCount")),
            expiresAt: uint64(vm.parseJsonUint(json, ".custody.expiresAt")),
            penalty: uint128(vm.parseJsonUint(json, ".custody.penalty")),
            lease: vm.parseJsonBytes32(json, ".custody.lease")
        });
        bytes32 id = audit.custodyId(custody);
        assertEq(id, vm.parseJsonBytes32(json, ".custody.digest"), "custody");
        assertEq(audit.releaseDigest(id), vm.parseJsonBytes32(json, ".release.digest"), "release");
    }
}
