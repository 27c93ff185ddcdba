// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Channels} from "../src/Channels.sol";
import {Credits} from "../src/Credits.sol";
import {ChannelsTest} from "./support/ChannelsTest.sol";
import {CallbackToken, FalseToken, FeeToken, LyingToken, NoAnswerToken, Token} from "./support/Tokens.sol";
import {CallbackReceiver} from "./support/Receivers.sol";

/// @dev Tokens that differ from the standard, and callers that call back.
contract ChannelsTokensTest is ChannelsTest {
    function give(Token of_) internal {
        of_.mint(payer, 1000);
        vm.prank(payer);
        of_.approve(address(channels), type(uint256).max);
    }

    function test_ATokenThatAnswersNothingIsServed() external {
        NoAnswerToken odd = new NoAnswerToken();
        give(odd);
        bytes32 id = openToken(address(odd), 100);
        claim(id, 40);
        vm.prank(payee);
        channels.withdraw(address(odd), payee, 40);
        assertEq(odd.balanceOf(payee), 40, "received");
    }

    function test_ATokenThatAnswersFalseIsRefused() external {
        FalseToken odd = new FalseToken();
        give(odd);
        bytes32 id = openToken(address(odd), 100);
        claim(id, 40);
        odd.fail(true);
        bytes memory failed = abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(odd));
        vm.expectRevert(failed);
        openToken(address(odd), 100);
        vm.expectRevert(failed);
        vm.prank(payer);
        channels.topUp(id, 1);
        vm.expectRevert(failed);
        vm.prank(payee);
        channels.withdraw(address(odd), payee, 40);
        assertCredit(address(odd), payee, 40);
        assertChannel(id, 100, 40);
    }

    function test_ATokenThatMovesNothingIsRefused() external {
        LyingToken odd = new LyingToken();
        give(odd);
        vm.expectRevert(abi.encodeWithSelector(Credits.WrongTokenAmount.selector, address(odd), 0, 100));
        openToken(address(odd), 100);
    }

    function test_ATokenThatKeepsAFeeIsRefused() external {
        FeeToken odd = new FeeToken();
        give(odd);
        vm.expectRevert(abi.encodeWithSelector(Credits.WrongTokenAmount.selector, address(odd), 99, 100));
        openToken(address(odd), 100);

        odd.set(false, true);
        bytes32 id = openToken(address(odd), 100);
        odd.set(false, false);
        vm.expectRevert(abi.encodeWithSelector(Credits.WrongTokenAmount.selector, address(odd), 198, 200));
        vm.prank(payer);
        channels.topUp(id, 200);
    }

    function test_ATokenThatChargesTheSenderCannotSpendTheMoneyOfOthers() external {
        FeeToken odd = new FeeToken();
        give(odd);
        odd.set(true, true);
        bytes32 id = openToken(address(odd), 100);
        openToken(address(odd), 100);
        claim(id, 100);
        odd.set(true, false);
        vm.expectRevert(abi.encodeWithSelector(Credits.WrongTokenAmount.selector, address(odd), 101, 100));
        vm.prank(payee);
        channels.withdraw(address(odd), payee, 100);
        assertEq(odd.balanceOf(address(channels)), 200, "escrow");
    }

    function test_AnAddressWithoutCodeIsNoToken() external {
        vm.expectRevert();
        openToken(stranger, 100);
        vm.expectRevert();
        openToken(address(channels), 100);
    }

    function test_WithoutApprovalNothingIsTaken() external {
        vm.prank(payer);
        token.approve(address(channels), 99);
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(channels), 99, 100)
        );
        openToken(address(token), 100);
        assertEq(channels.opened(), 0, "no number is used up");
    }

    function test_ATokenThatCallsBackGetsNothingTwice() external {
        CallbackToken odd = new CallbackToken();
        give(odd);
        odd.mint(address(odd), 1000);
        bytes32 id = openToken(address(odd), 100);
        vm.prank(payer);
        bytes32 own = channels.open(address(odd), payer, address(odd), 100, DELAY);
        claim(own, 50); // the token has a credit in itself

        bytes[3] memory calls = [
            abi.encodeCall(Channels.open, (payee, payer, address(odd), 100, DELAY)),
            abi.encodeCall(Channels.topUp, (id, 100)),
            abi.encodeCall(Credits.withdraw, (address(odd), address(odd), 50))
        ];
        for (uint256 i = 0; i < calls.length; i++) {
            // From a deposit ...
            odd.callBack(address(channels), calls[i]);
            openToken(address(odd), 10);
            assertTrue(odd.called() && !odd.succeeded(), "refused while a deposit is taken");
            // ... and from a withdrawal.
            claim(id, uint128(10 * (i + 1)));
            odd.callBack(address(channels), calls[i]);
            vm.prank(payee);
            channels.withdraw(address(odd), payee, 10);
            assertTrue(odd.called() && !odd.succeeded(), "refused while credit is paid out");
        }
        assertEq(odd.balanceOf(address(channels)), 100 + 100 + 3 * 10 - 3 * 10, "escrow");
    }

    function test_AClaimFromWithinATransferChangesNoSum() external {
        CallbackToken odd = new CallbackToken();
        give(odd);
        bytes32 id = openToken(address(odd), 100);
        claim(id, 10);
        bytes memory next = voucher(id, 60);
        odd.callBack(address(channels), abi.encodeCall(Channels.claim, (id, 60, next)));
        vm.prank(payee);
        channels.withdraw(address(odd), payee, 10);
        assertTrue(odd.called() && odd.succeeded(), "a claim moves no money and may run");
        assertCredit(address(odd), payee, 50);
        assertChannel(id, 100, 60);
    }

    function test_AReceiverThatCallsBackGetsNothingTwice() external {
        CallbackReceiver hostile = new CallbackReceiver();
        vm.prank(payer);
        bytes32 id = channels.open{value: 100}(address(hostile), payer, NATIVE, 100, DELAY);
        open(100); // somebody else's money
        claim(id, 60);
        bytes memory withdraw = abi.encodeCall(Credits.withdraw, (NATIVE, address(hostile), 30));
        hostile.callBack(address(channels), withdraw);
        hostile.act(address(channels), 0, withdraw);
        assertTrue(hostile.called() && !hostile.succeeded(), "the second withdrawal is refused");
        assertEq(address(hostile).balance, 30, "paid once");
        assertEq(channels.credit(NATIVE, address(hostile)), 30, "the rest is there");

        // Closing from within is only a change of books: each unit is paid once.
        bytes memory close = abi.encodeCall(Channels.close, (id, 0, ""));
        hostile.callBack(address(channels), close);
        hostile.act(address(channels), 0, withdraw);
        assertTrue(hostile.called() && hostile.succeeded(), "closed from within");
        assertEq(address(hostile).balance, 60, "all that was claimed");
        assertCredit(NATIVE, payer, 40);
        assertEq(address(channels).balance, 100 + 40, "escrow");
    }
}
