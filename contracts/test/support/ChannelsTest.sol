// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Channels} from "../../src/Channels.sol";
import {Test} from "./Test.sol";
import {Token} from "./Tokens.sol";

/// @dev A payer, who also signs, a payee, a stranger, and channels between them.
abstract contract ChannelsTest is Test {
    uint256 internal constant PAYER_KEY = 0xa11ce;
    uint256 internal constant OTHER_KEY = 0x0b0b;
    address internal constant NATIVE = address(0);
    uint32 internal constant DELAY = 24 hours;

    Channels internal channels;
    Token internal token;
    address internal payer = vm.addr(PAYER_KEY);
    address internal payee = address(0xbeef);
    address internal stranger = address(0x57a);

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        channels = new Channels();
        token = new Token();
        vm.deal(payer, type(uint136).max);
        token.mint(payer, type(uint128).max);
        vm.prank(payer);
        token.approve(address(channels), type(uint256).max);
    }

    function open(uint128 amount) internal returns (bytes32) {
        vm.prank(payer);
        return channels.open{value: amount}(payee, payer, NATIVE, amount, DELAY);
    }

    function openToken(address of_, uint128 amount) internal returns (bytes32) {
        vm.prank(payer);
        return channels.open(payee, payer, of_, amount, DELAY);
    }

    function voucher(bytes32 id, uint128 cumulative) internal view returns (bytes memory) {
        return sign(PAYER_KEY, channels.voucherDigest(id, cumulative));
    }

    function claim(bytes32 id, uint128 cumulative) internal returns (uint96) {
        return channels.claim(id, cumulative, voucher(id, cumulative));
    }

    function close(bytes32 id) internal {
        vm.prank(payee);
        channels.close(id, 0, "");
    }

    function assertChannel(bytes32 id, uint96 deposit, uint96 claimed) internal view {
        Channels.Channel memory channel = channels.channelOf(id);
        assertEq(channel.deposit, deposit, "deposit");
        assertEq(channel.claimed, claimed, "claimed");
    }

    function assertCredit(address of_, address account, uint256 amount) internal view {
        assertEq(channels.credit(of_, account), amount, "credit");
    }

    function failure(bytes4 selector, bytes32 id) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, id);
    }
}
