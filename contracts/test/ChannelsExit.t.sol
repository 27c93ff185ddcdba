// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Channels} from "../src/Channels.sol";
import {Credits} from "../src/Credits.sol";
import {ChannelsTest} from "./support/ChannelsTest.sol";
import {RefusingReceiver} from "./support/Receivers.sol";

contract ChannelsExitTest is ChannelsTest {
    function test_ThePayeeClosesWithALastVoucher() external {
        bytes32 id = open(100);
        claim(id, 10);
        bytes memory last = voucher(id, 70);
        vm.expectEmit(address(channels));
        emit Channels.Closed(id, 70, 30);
        vm.prank(payee);
        channels.close(id, 70, last);
        assertCredit(NATIVE, payee, 70);
        assertCredit(NATIVE, payer, 30);
        assertChannel(id, 0, 0);
        assertEq(channels.channelOf(id).signer, address(0), "gone");
    }

    function test_ThePayeeClosesWithoutAVoucherOrWithAnOldOne() external {
        bytes32 id = open(100);
        close(id);
        assertCredit(NATIVE, payer, 100);

        // Somebody else has sent the same voucher just before.
        bytes32 other = open(100);
        bytes memory last = voucher(other, 100);
        claim(other, 100);
        vm.prank(payee);
        channels.close(other, 100, last);
        assertCredit(NATIVE, payee, 100);
    }

    function test_CloseIsForThePayeeAloneAndChecksTheVoucher() external {
        bytes32 id = open(100);
        bytes memory last = voucher(id, 70);
        address[2] memory others = [payer, stranger];
        for (uint256 i = 0; i < others.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(Channels.OnlyBy.selector, payee));
            vm.prank(others[i]);
            channels.close(id, 70, last);
        }
        vm.expectPartialRevert(Channels.WrongSigner.selector);
        vm.prank(payee);
        channels.close(id, 71, last);

        close(id);
        vm.expectRevert(failure(Channels.UnknownChannel.selector, id));
        vm.prank(payee);
        channels.close(id, 70, last);
    }

    function test_ThePayerExitsAfterTheDelay() external {
        bytes32 id = open(100);
        claim(id, 25);
        uint64 exitAt = uint64(block.timestamp) + DELAY;
        vm.expectEmit(address(channels));
        emit Channels.ExitStarted(id, exitAt);
        vm.prank(payer);
        channels.startExit(id);
        assertEq(channels.channelOf(id).exitAt, exitAt, "exitAt");

        vm.warp(exitAt - 1);
        vm.expectRevert(abi.encodeWithSelector(Channels.TooEarly.selector, exitAt));
        vm.prank(payer);
        channels.finishExit(id);

        vm.warp(exitAt);
        vm.expectEmit(address(channels));
        emit Channels.Closed(id, 25, 75);
        vm.prank(payer);
        channels.finishExit(id);
        assertCredit(NATIVE, payer, 75);
        assertCredit(NATIVE, payee, 25);

        vm.expectRevert(failure(Channels.UnknownChannel.selector, id));
        vm.prank(payer);
        channels.finishExit(id);
    }

    function test_ExitsAreForThePayerAlone() external {
        bytes32 id = open(100);
        address[2] memory others = [payee, stranger];
        for (uint256 i = 0; i < others.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(Channels.OnlyBy.selector, payer));
            vm.prank(others[i]);
            channels.startExit(id);
        }
        vm.expectRevert(failure(Channels.NotExiting.selector, id));
        vm.prank(payer);
        channels.finishExit(id);

        vm.prank(payer);
        channels.startExit(id);
        vm.warp(block.timestamp + DELAY);
        for (uint256 i = 0; i < others.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(Channels.OnlyBy.selector, payer));
            vm.prank(others[i]);
            channels.finishExit(id);
        }
    }

    function test_AnExitCannotBeStartedTwice() external {
        bytes32 id = open(100);
        uint64 exitAt = uint64(block.timestamp) + DELAY;
        vm.prank(payer);
        channels.startExit(id);
        vm.warp(block.timestamp + 1);
        vm.expectRevert(abi.encodeWithSelector(Channels.Exiting.selector, id, exitAt));
        vm.prank(payer);
        channels.startExit(id);
    }

    function test_AClaimWinsWhileTheExitIsNotFinished() external {
        bytes32 id = open(100);
        vm.prank(payer);
        channels.startExit(id);
        claim(id, 40);
        // The delay is over, but the payer was slower.
        vm.warp(block.timestamp + DELAY);
        claim(id, 90);
        vm.prank(payer);
        channels.finishExit(id);
        assertCredit(NATIVE, payee, 90);
        assertCredit(NATIVE, payer, 10);
    }

    function test_AClaimAfterTheExitIsLost() external {
        bytes32 id = open(100);
        bytes memory late = voucher(id, 90);
        vm.prank(payer);
        channels.startExit(id);
        vm.warp(block.timestamp + DELAY);
        vm.prank(payer);
        channels.finishExit(id);
        vm.expectRevert(failure(Channels.UnknownChannel.selector, id));
        channels.claim(id, 90, late);
        assertCredit(NATIVE, payer, 100);
    }

    function test_ThePayeeCanCloseDuringAnExit() external {
        bytes32 id = open(100);
        vm.prank(payer);
        channels.startExit(id);
        bytes memory last = voucher(id, 60);
        vm.prank(payee);
        channels.close(id, 60, last);
        assertCredit(NATIVE, payee, 60);
        assertCredit(NATIVE, payer, 40);
    }

    function test_WithdrawSendsCreditToWhomItsOwnerSays() external {
        bytes32 id = open(100);
        claim(id, 100);
        vm.expectEmit(address(channels));
        emit Credits.Withdrawn(payee, NATIVE, stranger, 99);
        vm.prank(payee);
        channels.withdraw(NATIVE, stranger, 99);
        assertEq(stranger.balance, 99, "received");
        assertCredit(NATIVE, payee, 1);

        bytes32 other = openToken(address(token), 100);
        claim(other, 50);
        vm.prank(payee);
        channels.withdraw(address(token), payee, 50);
        assertEq(token.balanceOf(payee), 50, "received");
        assertCredit(address(token), payee, 0);
    }

    function test_WithdrawSendsNoMoreThanTheCredit() external {
        bytes32 id = open(100);
        claim(id, 60);
        vm.expectRevert(Credits.ZeroAmount.selector);
        vm.prank(payee);
        channels.withdraw(NATIVE, payee, 0);
        vm.expectRevert(abi.encodeWithSelector(Credits.CreditTooSmall.selector, NATIVE, 60, 61));
        vm.prank(payee);
        channels.withdraw(NATIVE, payee, 61);
        vm.expectRevert(abi.encodeWithSelector(Credits.CreditTooSmall.selector, NATIVE, 60, type(uint256).max));
        vm.prank(payee);
        channels.withdraw(NATIVE, payee, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(Credits.CreditTooSmall.selector, address(token), 0, 60));
        vm.prank(payee);
        channels.withdraw(address(token), payee, 60);
        vm.expectRevert(abi.encodeWithSelector(Credits.CreditTooSmall.selector, NATIVE, 0, 1));
        vm.prank(payer);
        channels.withdraw(NATIVE, payer, 1);
    }

    function test_AReceiverThatRefusesHarmsOnlyItself() external {
        RefusingReceiver refusing = new RefusingReceiver();
        vm.prank(payer);
        bytes32 id = channels.open{value: 100}(address(refusing), payer, NATIVE, 100, DELAY);
        claim(id, 60);
        vm.expectRevert(abi.encodeWithSelector(Credits.ReceiverRefused.selector, address(refusing), 60));
        refusing.withdraw(channels, address(refusing), 60);
        refusing.withdraw(channels, stranger, 60);
        assertEq(stranger.balance, 60, "sent elsewhere");
    }

    function test_WithdrawSendsNothingToWhereNobodyGetsIt() external {
        claim(open(100), 60);
        claim(openToken(address(token), 100), 60);
        address[2] memory receivers = [address(0), address(channels)];
        for (uint256 i = 0; i < receivers.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(Credits.InvalidReceiver.selector, receivers[i]));
            vm.prank(payee);
            channels.withdraw(NATIVE, receivers[i], 60);
            vm.expectRevert(abi.encodeWithSelector(Credits.InvalidReceiver.selector, receivers[i]));
            vm.prank(payee);
            channels.withdraw(address(token), receivers[i], 60);
        }
        assertCredit(NATIVE, payee, 60);
    }
}
