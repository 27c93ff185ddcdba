// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Credits} from "../src/Credits.sol";
import {Registry} from "../src/Registry.sol";
import {Test} from "./support/Test.sol";

/// @dev This test is the registry's arbiter, as {Audit} is in earnest.
contract RegistryTest is Test {
    Registry private registry;
    address private node = address(0xb0de);
    address private stranger = address(0x57a);
    address private victim = address(0x71c);
    bytes32 private constant CAPABILITIES = keccak256("capabilities");

    function setUp() external {
        vm.warp(1_800_000_000);
        registry = new Registry();
        vm.deal(node, 100 ether);
        vm.deal(stranger, 100 ether);
    }

    function bond(uint256 amount) private {
        vm.prank(node);
        registry.stake{value: amount}(node);
    }

    function unbond(uint128 amount) private {
        vm.prank(node);
        registry.startUnbonding(amount);
    }

    function finish() private {
        vm.prank(node);
        registry.finishUnbonding();
    }

    function assertStake(uint256 bonded, uint256 unbonding) private view {
        assertEq(registry.stakeOf(node).bonded, bonded, "bonded");
        assertEq(registry.stakeOf(node).unbonding, unbonding, "unbonding");
    }

    function test_ANodeRegistersChangesAndLeaves() external {
        vm.expectEmit(address(registry));
        emit Registry.Registered(node, "https://node.example", CAPABILITIES, "eu-west");
        vm.expectEmit(address(registry));
        emit Registry.Staked(node, node, 1 ether, 1 ether);
        vm.prank(node);
        registry.register{value: 1 ether}("https://node.example", CAPABILITIES, "eu-west");
        assertStake(1 ether, 0);

        vm.prank(node);
        registry.register("https://other.example", 0, 0);
        vm.assertEq(registry.profileOf(node).url, "https://other.example", "url");
        assertEq(registry.profileOf(node).capabilities, 0, "capabilities");

        vm.expectEmit(address(registry));
        emit Registry.Deregistered(node);
        vm.prank(node);
        registry.deregister();
        vm.assertEq(registry.profileOf(node).url, "", "gone");
        assertStake(1 ether, 0);
        vm.expectRevert(abi.encodeWithSelector(Registry.NotRegistered.selector, node));
        vm.prank(node);
        registry.deregister();
    }

    function test_AUrlHasABound() external {
        vm.expectRevert(abi.encodeWithSelector(Registry.InvalidUrl.selector, 0));
        registry.register("", 0, 0);
        vm.expectRevert(abi.encodeWithSelector(Registry.InvalidUrl.selector, 257));
        registry.register(string(new bytes(257)), 0, 0);
        registry.register(string(new bytes(256)), 0, 0);
        registry.register("u", 0, 0);
    }

    function test_AnyoneCanAddStakeAndItIsTheNodes() external {
        vm.prank(stranger);
        registry.stake{value: 2 ether}(node);
        bond(1 ether);
        assertStake(3 ether, 0);
        vm.expectRevert(Credits.ZeroAmount.selector);
        registry.stake(node);
        vm.expectRevert(abi.encodeWithSelector(Registry.StakeTooSmall.selector, stranger, 0, 1));
        vm.prank(stranger);
        registry.startUnbonding(1);
    }

    function test_StakeLeavesAfterTheDelay() external {
        bond(3 ether);
        uint64 releaseAt = uint64(block.timestamp) + 7 days;
        vm.expectEmit(address(registry));
        emit Registry.UnbondingStarted(node, 2 ether, releaseAt);
        unbond(2 ether);

        vm.warp(releaseAt - 1);
        vm.expectRevert(abi.encodeWithSelector(Registry.TooEarly.selector, releaseAt));
        finish();
        vm.warp(releaseAt);
        vm.expectEmit(address(registry));
        emit Registry.Unbonded(node, 2 ether, 1 ether);
        finish();
        assertStake(1 ether, 0);

        vm.prank(node);
        registry.withdraw(address(0), stranger, 2 ether);
        assertEq(stranger.balance, 102 ether, "received");
        vm.expectRevert(abi.encodeWithSelector(Registry.NotUnbonding.selector, node));
        finish();
    }

    function test_ANewAnnouncementReplacesTheOld() external {
        bond(3 ether);
        unbond(2 ether);
        vm.warp(block.timestamp + 7 days);
        unbond(3 ether);
        vm.expectRevert(abi.encodeWithSelector(Registry.TooEarly.selector, block.timestamp + 7 days));
        finish();
        unbond(0);
        vm.expectRevert(abi.encodeWithSelector(Registry.NotUnbonding.selector, node));
        finish();
        vm.expectRevert(abi.encodeWithSelector(Registry.StakeTooSmall.selector, node, 3 ether, 3 ether + 1));
        unbond(3 ether + 1);
    }

    function test_APledgeHoldsStakeBack() external {
        bond(1 ether);
        uint64 until = uint64(block.timestamp) + 30 days;
        vm.expectEmit(address(registry));
        emit Registry.Pledged(node, until);
        vm.prank(node);
        registry.pledge(until);
        unbond(1 ether);
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(Registry.TooEarly.selector, until));
        finish();

        // A pledge made while stake is unbonding holds it back too.
        vm.prank(node);
        registry.pledge(until + 1);
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(Registry.TooEarly.selector, until + 1));
        finish();
        vm.warp(until + 1);
        finish();
        assertStake(0, 0);
    }

    function test_APledgeIsOnlyProlonged() external {
        uint64 until = uint64(block.timestamp) + 30 days;
        vm.prank(node);
        registry.pledge(until);
        uint64[3] memory refused = [until, until - 1, uint64(block.timestamp) + 1096 days + 1];
        for (uint256 i = 0; i < refused.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(Registry.InvalidPledge.selector, refused[i]));
            vm.prank(node);
            registry.pledge(refused[i]);
        }
        vm.prank(node);
        registry.pledge(uint64(block.timestamp) + 1096 days);
    }

    function test_NothingLeavesWhileACaseIsOpen() external {
        bond(2 ether);
        unbond(1 ether);
        registry.openCase(node);
        registry.openCase(node);
        vm.warp(block.timestamp + 365 days);
        vm.expectRevert(abi.encodeWithSelector(Registry.CasesOpen.selector, node, 2));
        finish();
        registry.closeCase(node);
        vm.expectRevert(abi.encodeWithSelector(Registry.CasesOpen.selector, node, 1));
        finish();
        registry.closeCase(node);
        finish();
        assertStake(1 ether, 0);
    }

    function test_ASlashTakesHalfForTheVictimAndHalfForNobody() external {
        bond(10 ether);
        registry.openCase(node);
        vm.expectEmit(address(registry));
        emit Registry.Slashed(node, victim, 1, 2);
        registry.slash(node, 3, victim);
        assertEq(registry.credit(address(0), victim), 1, "compensation");
        assertEq(registry.burned(), 2, "burned");
        assertStake(10 ether - 3, 0);
        assertEq(registry.stakeOf(node).openCases, 0, "cases");
    }

    function test_ASlashTakesUnbondingStakeTooAndNoMoreThanThereIs() external {
        bond(10);
        unbond(8);
        registry.openCase(node);
        registry.slash(node, 4, victim);
        assertStake(6, 6);
        registry.openCase(node);
        registry.slash(node, 100, victim);
        assertStake(0, 0);
        assertEq(registry.credit(address(0), victim), 5, "compensation");
        assertEq(registry.burned(), 5, "burned");
        vm.expectRevert(abi.encodeWithSelector(Registry.NothingAtStake.selector, node));
        registry.openCase(node);
    }

    function test_OnlyTheArbiterJudges() external {
        bond(1 ether);
        assertEq(registry.ARBITER(), address(this), "arbiter");
        bytes[3] memory calls = [
            abi.encodeCall(Registry.openCase, (node)),
            abi.encodeCall(Registry.closeCase, (node)),
            abi.encodeCall(Registry.slash, (node, 1, stranger))
        ];
        for (uint256 i = 0; i < calls.length; i++) {
            vm.expectRevert(Registry.OnlyArbiter.selector);
            vm.prank(stranger);
            (bool ok,) = address(registry).call(calls[i]);
            ok;
        }
        // Not even the arbiter closes what is not open.
        vm.expectRevert();
        registry.closeCase(node);
        vm.expectRevert();
        registry.slash(node, 1, victim);
    }
}
