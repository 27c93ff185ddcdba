// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Channels} from "../src/Channels.sol";
import {Credits} from "../src/Credits.sol";
import {ChannelsTest} from "./support/ChannelsTest.sol";

contract ChannelsOpenTest is ChannelsTest {
    function test_OpenKeepsTheTermsAndTheMoney() external {
        bytes32 expected = bytes32(uint256(uint160(payee)) << 96 | 1);
        vm.expectEmit(address(channels));
        emit Channels.Opened(expected, payer, payee, payer, NATIVE, 10 ether, DELAY);
        bytes32 id = open(10 ether);
        assertEq(id, expected, "id");

        Channels.Channel memory channel = channels.channelOf(id);
        assertEq(channel.payer, payer, "payer");
        assertEq(channel.signer, payer, "signer");
        assertEq(channel.token, NATIVE, "token");
        assertEq(channel.exitDelay, DELAY, "delay");
        assertEq(channel.exitAt, 0, "exit");
        assertChannel(id, 10 ether, 0);
        assertEq(channels.payeeOf(id), payee, "payee");
        assertEq(address(channels).balance, 10 ether, "escrow");
    }

    function test_OpenTakesAToken() external {
        bytes32 id = openToken(address(token), 7);
        assertChannel(id, 7, 0);
        assertEq(token.balanceOf(address(channels)), 7, "escrow");
    }

    function test_AnIdIsNeverGivenTwice() external {
        bytes32 first = open(1);
        bytes32 second = open(1);
        assertTrue(first != second, "two open channels");
        close(first);
        assertTrue(open(1) != first, "a channel opened after one was closed");
        assertEq(channels.opened(), 3, "count");
    }

    function test_OpenRefusesPayeesThatCannotBeMeant() external {
        address[3] memory payees = [address(0), payer, address(channels)];
        for (uint256 i = 0; i < payees.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(Channels.InvalidPayee.selector, payees[i]));
            vm.prank(payer);
            channels.open{value: 1}(payees[i], stranger, NATIVE, 1, DELAY);
        }
    }

    function test_OpenRefusesSignersThatCannotBeMeant() external {
        address[2] memory signers = [address(0), payee];
        for (uint256 i = 0; i < signers.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(Channels.InvalidSigner.selector, signers[i]));
            vm.prank(payer);
            channels.open{value: 1}(payee, signers[i], NATIVE, 1, DELAY);
        }
    }

    function test_OpenBoundsTheExitDelay() external {
        uint32[4] memory refused = [uint32(0), 1 hours - 1, 30 days + 1, type(uint32).max];
        for (uint256 i = 0; i < refused.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(Channels.InvalidExitDelay.selector, refused[i]));
            vm.prank(payer);
            channels.open{value: 1}(payee, payer, NATIVE, 1, refused[i]);
        }
        vm.prank(payer);
        channels.open{value: 1}(payee, payer, NATIVE, 1, 1 hours);
        vm.prank(payer);
        channels.open{value: 1}(payee, payer, NATIVE, 1, 30 days);
    }

    function test_OpenRefusesAmountsOfZeroAndAbove96Bits() external {
        vm.expectRevert(Credits.ZeroAmount.selector);
        open(0);

        open(type(uint96).max);
        uint128 tooLarge = uint128(type(uint96).max) + 1;
        vm.expectRevert(abi.encodeWithSelector(Channels.DepositTooLarge.selector, tooLarge));
        open(tooLarge);
        vm.expectRevert(abi.encodeWithSelector(Channels.DepositTooLarge.selector, type(uint128).max));
        open(type(uint128).max);
    }

    function test_OpenWantsTheValueThatItNames() external {
        uint256[3] memory values = [uint256(0), 9, 11];
        for (uint256 i = 0; i < values.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(Credits.WrongValue.selector, values[i], 10));
            vm.prank(payer);
            channels.open{value: values[i]}(payee, payer, NATIVE, 10, DELAY);
        }
        vm.expectRevert(abi.encodeWithSelector(Credits.WrongValue.selector, 1, 0));
        vm.prank(payer);
        channels.open{value: 1}(payee, payer, address(token), 10, DELAY);
    }

    function test_TheContractTakesNoMoneyThatNobodyOwns() external {
        vm.prank(payer);
        (bool accepted,) = address(channels).call{value: 1}("");
        assertTrue(!accepted, "a plain transfer is refused");
    }

    function test_TopUpAddsToTheDeposit() external {
        bytes32 id = open(10);
        vm.expectEmit(address(channels));
        emit Channels.ToppedUp(id, 5, 15);
        vm.prank(payer);
        channels.topUp{value: 5}(id, 5);
        assertChannel(id, 15, 0);

        bytes32 other = openToken(address(token), 10);
        vm.prank(payer);
        channels.topUp(other, 1);
        assertChannel(other, 11, 0);
        assertEq(token.balanceOf(address(channels)), 11, "escrow");
    }

    function test_AnyoneCanTopUpAndThePayerGetsTheRest() external {
        bytes32 id = open(10);
        vm.deal(stranger, 5);
        vm.prank(stranger);
        channels.topUp{value: 5}(id, 5);
        close(id);
        assertCredit(NATIVE, payer, 15);
    }

    function test_TopUpRefusesZeroUnknownChannelsAndOverflow() external {
        bytes32 id = open(1);
        vm.expectRevert(Credits.ZeroAmount.selector);
        channels.topUp(id, 0);

        bytes32 unknown = bytes32(uint256(id) + 1);
        vm.expectRevert(failure(Channels.UnknownChannel.selector, unknown));
        channels.topUp{value: 1}(unknown, 1);

        vm.expectRevert(abi.encodeWithSelector(Channels.DepositTooLarge.selector, uint256(type(uint96).max) + 1));
        vm.prank(payer);
        channels.topUp{value: type(uint96).max}(id, type(uint96).max);

        vm.expectRevert(abi.encodeWithSelector(Channels.DepositTooLarge.selector, type(uint128).max));
        vm.prank(payer);
        channels.topUp{value: type(uint128).max - 1}(id, type(uint128).max);

        vm.prank(payer);
        channels.topUp{value: type(uint96).max - 1}(id, type(uint96).max - 1);
        assertChannel(id, type(uint96).max, 0);
    }

    function test_TopUpRefusesAnotherValueAndAnExitingChannel() external {
        bytes32 id = open(1);
        vm.expectRevert(abi.encodeWithSelector(Credits.WrongValue.selector, 2, 3));
        vm.prank(payer);
        channels.topUp{value: 2}(id, 3);

        vm.prank(payer);
        channels.startExit(id);
        vm.expectRevert(abi.encodeWithSelector(Channels.Exiting.selector, id, block.timestamp + DELAY));
        vm.prank(payer);
        channels.topUp{value: 3}(id, 3);
    }
}
