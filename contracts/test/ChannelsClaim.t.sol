// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Channels} from "../src/Channels.sol";
import {ChannelsTest} from "./support/ChannelsTest.sol";

/// @dev Code that an account could lend itself under EIP-7702: it says no to every signature (ERC-1271).
contract NoToEverything {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return 0xffffffff;
    }
}

contract ChannelsClaimTest is ChannelsTest {
    function test_AClaimCreditsWhatTheVoucherAdds() external {
        bytes32 id = open(100);
        vm.expectEmit(address(channels));
        emit Channels.Claimed(id, 30, 30);
        assertEq(claim(id, 30), 30, "first");
        assertEq(claim(id, 31), 1, "second");
        assertEq(claim(id, 100), 69, "last");
        assertChannel(id, 100, 100);
        assertCredit(NATIVE, payee, 100);
    }

    function test_AnyoneCanSendAClaimAndThePayeeGetsIt() external {
        bytes32 id = open(100);
        bytes memory signature = voucher(id, 60);
        vm.prank(stranger);
        channels.claim(id, 60, signature);
        assertCredit(NATIVE, payee, 60);
        assertCredit(NATIVE, stranger, 0);
    }

    function test_AVoucherThatAddsNothingIsRefused() external {
        bytes32 id = open(100);
        bytes memory zero = voucher(id, 0);
        vm.expectRevert(abi.encodeWithSelector(Channels.NothingToClaim.selector, id, 0, 0));
        channels.claim(id, 0, zero);

        claim(id, 50);
        uint128[3] memory sums = [uint128(1), 49, 50];
        for (uint256 i = 0; i < sums.length; i++) {
            bytes memory old = voucher(id, sums[i]);
            vm.expectRevert(abi.encodeWithSelector(Channels.NothingToClaim.selector, id, sums[i], 50));
            channels.claim(id, sums[i], old);
        }
        assertCredit(NATIVE, payee, 50);
    }

    function test_AVoucherBeyondTheDepositPaysTheDepositAndTheRestAfterATopUp() external {
        bytes32 id = open(100);
        assertEq(claim(id, 150), 100, "the deposit");
        bytes memory same = voucher(id, 150);
        vm.expectRevert(abi.encodeWithSelector(Channels.NothingToClaim.selector, id, 150, 100));
        channels.claim(id, 150, same);

        vm.prank(payer);
        channels.topUp{value: 200}(id, 200);
        assertEq(claim(id, 150), 50, "the rest, not more than was signed");
        assertChannel(id, 300, 150);
    }

    function test_TheLargestSumOverflowsNothing() external {
        bytes32 id = open(type(uint96).max);
        assertEq(claim(id, type(uint128).max), type(uint96).max, "clamped");
        assertChannel(id, type(uint96).max, type(uint96).max);

        // 2^96 + 5 must not be taken for 5.
        bytes32 other = open(10);
        assertEq(claim(other, (uint128(1) << 96) + 5), 10, "not truncated");
    }

    function test_OnlyTheSignersKeyCounts() external {
        bytes32 id = open(100);
        bytes32 digest = channels.voucherDigest(id, 50);
        bytes memory forged = sign(OTHER_KEY, digest);
        vm.expectRevert(abi.encodeWithSelector(Channels.WrongSigner.selector, vm.addr(OTHER_KEY), payer));
        channels.claim(id, 50, forged);

        // A signer other than the payer: then the payer's own signature is worth nothing.
        vm.prank(payer);
        bytes32 delegated = channels.open{value: 100}(payee, vm.addr(OTHER_KEY), NATIVE, 100, DELAY);
        bytes memory own = voucher(delegated, 50);
        vm.expectRevert(abi.encodeWithSelector(Channels.WrongSigner.selector, payer, vm.addr(OTHER_KEY)));
        channels.claim(delegated, 50, own);
        channels.claim(delegated, 50, sign(OTHER_KEY, channels.voucherDigest(delegated, 50)));
        assertCredit(NATIVE, payee, 50);
    }

    function test_AVoucherForAnotherSumOrChannelIsRefused() external {
        bytes32 id = open(100);
        bytes32 other = open(100);
        bytes memory signature = voucher(id, 50);
        vm.expectPartialRevert(Channels.WrongSigner.selector);
        channels.claim(id, 51, signature);
        vm.expectPartialRevert(Channels.WrongSigner.selector);
        channels.claim(other, 50, signature);
        vm.expectRevert(failure(Channels.UnknownChannel.selector, bytes32(uint256(other) + 1)));
        channels.claim(bytes32(uint256(other) + 1), 50, signature);
        vm.expectRevert(failure(Channels.UnknownChannel.selector, bytes32(0)));
        channels.claim(0, 50, signature);
        // The right number with another payee names no channel.
        bytes32 mine = bytes32(uint256(uint160(stranger)) << 96 | 1);
        vm.expectRevert(failure(Channels.UnknownChannel.selector, mine));
        channels.claim(mine, 50, signature);
    }

    function test_AVoucherForAnotherContractOrChainIsRefused() external {
        bytes32 id = open(100);
        Channels twin = new Channels();
        vm.prank(payer);
        bytes32 same = twin.open{value: 100}(payee, payer, NATIVE, 100, DELAY);
        assertEq(same, id, "both contracts give the same id");
        bytes memory here = voucher(id, 50);
        vm.expectPartialRevert(Channels.WrongSigner.selector);
        twin.claim(id, 50, here);

        // A fork of the chain with an id of its own: vouchers of before the fork are worth nothing on it, and the other way round.
        uint256 chain = block.chainid;
        vm.chainId(chain + 1);
        vm.expectPartialRevert(Channels.WrongSigner.selector);
        channels.claim(id, 50, here);
        bytes memory there = voucher(id, 60);
        vm.chainId(chain);
        vm.expectPartialRevert(Channels.WrongSigner.selector);
        channels.claim(id, 60, there);
        channels.claim(id, 50, here);
    }

    function test_MalformedAndMalleableSignaturesAreRefused() external {
        bytes32 id = open(100);
        bytes32 digest = channels.voucherDigest(id, 50);
        bytes memory twin = malleable(PAYER_KEY, digest);
        vm.expectPartialRevert(ECDSA.ECDSAInvalidSignatureS.selector);
        channels.claim(id, 50, twin);

        bytes memory good = voucher(id, 50);
        bytes[4] memory lengths = [bytes(""), new bytes(64), bytes.concat(good, hex"00"), new bytes(1024)];
        for (uint256 i = 0; i < lengths.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureLength.selector, lengths[i].length));
            channels.claim(id, 50, lengths[i]);
        }

        uint8[4] memory versions = [0, 1, 29, 255];
        for (uint256 i = 0; i < versions.length; i++) {
            bytes memory bad = bytes.concat(good);
            bad[64] = bytes1(versions[i]);
            vm.expectRevert(ECDSA.ECDSAInvalidSignature.selector);
            channels.claim(id, 50, bad);
        }

        vm.expectRevert(ECDSA.ECDSAInvalidSignature.selector);
        channels.claim(id, 50, new bytes(65));
    }

    function test_AnOldVoucherIsWorthNothingInAReopenedChannel() external {
        bytes32 id = open(100);
        bytes memory old = voucher(id, 100);
        claim(id, 40);
        close(id);

        bytes32 again = open(100);
        vm.expectRevert(failure(Channels.UnknownChannel.selector, id));
        channels.claim(id, 100, old);
        vm.expectPartialRevert(Channels.WrongSigner.selector);
        channels.claim(again, 100, old);
        assertChannel(again, 100, 0);
    }

    function test_CodeAtTheSignerVoidsNoVoucher() external {
        bytes32 id = open(100);
        bytes memory signature = voucher(id, 50);
        vm.signAndAttachDelegation(address(new NoToEverything()), PAYER_KEY);
        channels.claim(id, 50, signature);
        assertTrue(payer.code.length == 23, "the account is delegated (EIP-7702)");
        assertCredit(NATIVE, payee, 50);

        // Nor does code of any other kind.
        vm.etch(payer, address(new NoToEverything()).code);
        claim(id, 60);
        assertCredit(NATIVE, payee, 60);
    }

    function test_ClaimManyCreditsAllThatPays() external {
        bytes32[3] memory ids = [open(10), open(20), openToken(address(token), 30)];
        Channels.Claim[] memory claims = new Channels.Claim[](3);
        for (uint256 i = 0; i < 3; i++) {
            uint128 sum = uint128(i + 1);
            claims[i] = Channels.Claim(ids[i], sum, voucher(ids[i], sum));
        }
        assertEq(channels.claimMany(claims), 6, "total");
        assertCredit(NATIVE, payee, 3);
        assertCredit(address(token), payee, 3);
    }

    function test_ClaimManySkipsWhatPaysNothing() external {
        bytes32[4] memory ids = [open(10), open(10), open(10), open(10)];
        Channels.Claim[] memory claims = new Channels.Claim[](5);
        for (uint256 i = 0; i < 4; i++) {
            claims[i] = Channels.Claim(ids[i], 5, voucher(ids[i], 5));
        }
        claims[4] = claims[3]; // the same once more
        close(ids[0]);
        claim(ids[1], 5); // somebody was quicker
        claim(ids[2], 4);
        assertEq(channels.claimMany(claims), 1 + 5, "total");
        assertEq(channels.claimMany(new Channels.Claim[](0)), 0, "none");
        assertEq(channels.claimMany(claims), 0, "all again");
    }

    function test_ClaimManyRefusesAWrongSignature() external {
        (bytes32 first, bytes32 second) = (open(10), open(10));
        Channels.Claim[] memory claims = new Channels.Claim[](2);
        claims[0] = Channels.Claim(first, 5, voucher(first, 5));
        claims[1] = Channels.Claim(second, 5, voucher(first, 5));
        vm.expectPartialRevert(Channels.WrongSigner.selector);
        channels.claimMany(claims);
        assertChannel(first, 10, 0);
    }

    function testFuzz_VouchersInAnyOrderPayTheLargest(uint96 deposit, uint128[] calldata sums) external {
        vm.assume(deposit > 0);
        bytes32 id = open(deposit);
        uint256 largest = 0;
        for (uint256 i = 0; i < sums.length && i < 16; i++) {
            uint128 sum = sums[i];
            bytes memory signature = voucher(id, sum);
            uint256 covered = sum < deposit ? sum : deposit;
            if (covered <= largest) {
                vm.expectRevert(abi.encodeWithSelector(Channels.NothingToClaim.selector, id, sum, largest));
                channels.claim(id, sum, signature);
            } else {
                assertEq(channels.claim(id, sum, signature), covered - largest, "amount");
                largest = covered;
            }
        }
        assertCredit(NATIVE, payee, largest);
        close(id);
        assertCredit(NATIVE, payer, deposit - largest);
    }

    function testFuzz_NoOtherBytesPassForASignature(bytes calldata signature, bytes32 salt) external {
        bytes32 id = open(100);
        bytes memory good = voucher(id, 50);
        vm.assume(keccak256(signature) != keccak256(good));
        vm.expectRevert();
        channels.claim(id, 50, signature);

        // One changed byte.
        bytes memory changed = bytes.concat(good);
        uint256 place = uint256(salt) % 65;
        changed[place] = bytes1(uint8(changed[place]) ^ uint8(1 + uint256(salt >> 8) % 255));
        vm.expectRevert();
        channels.claim(id, 50, changed);
        assertCredit(NATIVE, payee, 0);
    }
}
