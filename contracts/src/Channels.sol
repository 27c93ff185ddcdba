// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Credits} from "./Credits.sol";

/// @title Unidirectional payment channels in the native coin and in ERC-20 tokens.
/// @notice A payer deposits money for one payee and then pays off chain: each voucher that its signer signs states the sum of all payments
/// so far, so the newest voucher is worth all earlier ones. The payee claims whenever it likes. The payer gets the rest back when the
/// payee closes, or by itself after a delay in which the payee can still claim.
/// @dev There is no owner, no pause, no upgrade. State is written before any foreign code runs, and only deposits and withdrawals run any.
contract Channels is Credits, EIP712 {
    /// @notice One channel. Three storage slots, in this order.
    /// @param signer the key that signs vouchers: an account's address, whatever code EIP-7702 may lend it. Zero when there is no channel
    /// @param claimed the sum that the payee has claimed; never falls, never above the deposit
    /// @param token zero for the native coin
    /// @param deposit the sum that was paid in; never falls
    /// @param payer who opened the channel and gets the rest
    /// @param exitDelay seconds between the start and the end of an exit
    /// @param exitAt Unix seconds from which the payer can end its exit; zero while it has not started one
    struct Channel {
        address signer;
        uint96 claimed;
        address token;
        uint96 deposit;
        address payer;
        uint32 exitDelay;
        uint64 exitAt;
    }

    /// @notice A claim in {claimMany}; the fields are the parameters of {claim}.
    struct Claim {
        bytes32 id;
        uint128 cumulative;
        bytes signature;
    }

    /// @notice The EIP-712 type that a channel's signer signs.
    bytes32 public constant VOUCHER_TYPEHASH = keccak256("Voucher(bytes32 channelId,uint128 cumulative)");
    /// @notice The shortest exit delay: a payee needs time to see the exit and claim.
    uint32 public constant MIN_EXIT_DELAY = 1 hours;
    /// @notice The longest exit delay: a payer must not lock its money for ever by a slip.
    uint32 public constant MAX_EXIT_DELAY = 30 days;

    /// @notice How many channels were ever opened, which numbers them.
    uint96 public opened;
    mapping(bytes32 id => Channel) private _channels;

    /// @notice A channel was opened.
    event Opened(
        bytes32 indexed id,
        address indexed payer,
        address indexed payee,
        address signer,
        address token,
        uint96 amount,
        uint32 exitDelay
    );
    /// @notice Money was added to a channel, which makes its deposit `deposit`.
    event ToppedUp(bytes32 indexed id, uint96 amount, uint96 deposit);
    /// @notice The payee was credited `amount`, which makes the channel's claimed sum `claimed`.
    event Claimed(bytes32 indexed id, uint96 amount, uint96 claimed);
    /// @notice The payer wants its money back; the payee can claim until the exit is finished, which is possible from `exitAt`.
    event ExitStarted(bytes32 indexed id, uint64 exitAt);
    /// @notice A channel ended, by the payee or by a finished exit. The payer was credited `refund`.
    event Closed(bytes32 indexed id, uint96 claimed, uint96 refund);

    /// @notice There is no such channel (any more).
    error UnknownChannel(bytes32 id);
    /// @notice Only this account may do that.
    error OnlyBy(address account);
    /// @notice The payee is zero, the payer itself, or this contract.
    error InvalidPayee(address payee);
    /// @notice The signer is zero or the payee, who could then write vouchers to itself.
    error InvalidSigner(address signer);
    /// @notice The exit delay is not between the shortest and the longest.
    error InvalidExitDelay(uint32 exitDelay);
    /// @notice A channel cannot hold more than 2^96-1 units.
    error DepositTooLarge(uint256 deposit);
    /// @notice The voucher pays nothing beyond what is claimed already.
    error NothingToClaim(bytes32 id, uint128 cumulative, uint96 claimed);
    /// @notice The signature is valid but not the channel's signer's: another key, channel, sum, contract or chain.
    error WrongSigner(address recovered, address signer);
    /// @notice The payer has started its exit, which ends at `exitAt`.
    error Exiting(bytes32 id, uint64 exitAt);
    /// @notice The payer has not started an exit.
    error NotExiting(bytes32 id);
    /// @notice The exit cannot be finished before `exitAt`.
    error TooEarly(uint64 exitAt);

    constructor() EIP712("Velas Sphere Channels", "1") {}

    /// @notice Opens a channel from the caller to a payee. For a token, the caller must have approved the amount to this contract before.
    /// @dev The id is the payee's address followed by a number that is never given twice, so a voucher of a closed channel is worth
    /// nothing in a later one between the same parties.
    /// @param payee who may claim
    /// @param signer the key whose vouchers count; the payer itself, or a key that can be kept on a server
    /// @param token zero for the native coin
    /// @param amount the first deposit, above zero and below 2^96; for the native coin the value of the call
    /// @param exitDelay how many seconds the payee has to claim after the payer has started its exit
    /// @return id the channel's id
    function open(address payee, address signer, address token, uint128 amount, uint32 exitDelay)
        external
        payable
        nonReentrant
        returns (bytes32 id)
    {
        if (payee == address(0) || payee == msg.sender || payee == address(this)) revert InvalidPayee(payee);
        if (signer == address(0) || signer == payee) revert InvalidSigner(signer);
        if (exitDelay < MIN_EXIT_DELAY || exitDelay > MAX_EXIT_DELAY) revert InvalidExitDelay(exitDelay);
        uint96 deposit = _deposit(amount);

        id = bytes32(uint256(uint160(payee)) << 96 | ++opened);
        _channels[id] = Channel({
            signer: signer,
            claimed: 0,
            token: token,
            deposit: deposit,
            payer: msg.sender,
            exitDelay: exitDelay,
            exitAt: 0
        });
        emit Opened(id, msg.sender, payee, signer, token, deposit, exitDelay);
        _take(token, amount);
    }

    /// @notice Adds to a channel's deposit. Anyone may; what is left in the end goes to the channel's payer. Not during an exit.
    /// @param amount above zero; for the native coin the value of the call
    function topUp(bytes32 id, uint128 amount) external payable nonReentrant {
        Channel storage channel = _existing(id);
        if (channel.exitAt != 0) revert Exiting(id, channel.exitAt);
        uint96 added = _deposit(amount);
        uint256 sum = uint256(channel.deposit) + added;
        uint96 deposit = _deposit(sum);
        channel.deposit = deposit;
        emit ToppedUp(id, added, deposit);
        _take(channel.token, amount);
    }

    /// @notice Credits the payee with what a voucher adds to the sum claimed before. Anyone who has the voucher may call this, also during
    /// an exit until it is finished. A voucher for more than the deposit pays the deposit; the rest once the channel is topped up.
    /// @param cumulative the voucher's sum of all payments so far
    /// @param signature the signer's, 65 bytes r ‖ s ‖ v with s in the lower half
    /// @return amount what the payee was credited
    function claim(bytes32 id, uint128 cumulative, bytes calldata signature) external returns (uint96 amount) {
        Channel storage channel = _existing(id);
        amount = _claimable(channel, cumulative);
        if (amount == 0) revert NothingToClaim(id, cumulative, channel.claimed);
        _claim(id, channel, cumulative, amount, signature);
    }

    /// @notice {claim} for several channels. Skips vouchers that pay nothing, such as those of channels that were closed meanwhile, so that
    /// nobody can spoil the whole batch by being quicker with one of its vouchers; a wrong signature still reverts.
    /// @return total what was credited over all channels, whatever their tokens
    function claimMany(Claim[] calldata claims) external returns (uint256 total) {
        for (uint256 i = 0; i < claims.length; i++) {
            Claim calldata one = claims[i];
            Channel storage channel = _channels[one.id];
            uint96 amount = _claimable(channel, one.cumulative);
            if (amount == 0) continue;
            total += amount;
            _claim(one.id, channel, one.cumulative, amount, one.signature);
        }
    }

    /// @notice Ends a channel at once, with a last voucher. Only the payee may; the rest of the deposit is credited to the payer.
    /// @param cumulative the last voucher's sum; zero to claim nothing more
    /// @param signature the last voucher's signature; not read when the voucher pays nothing
    function close(bytes32 id, uint128 cumulative, bytes calldata signature) external {
        Channel storage channel = _existing(id);
        address payee = payeeOf(id);
        if (msg.sender != payee) revert OnlyBy(payee);
        uint96 amount = _claimable(channel, cumulative);
        if (amount > 0) _claim(id, channel, cumulative, amount, signature);
        _close(id, channel);
    }

    /// @notice Starts the payer's exit: from `exitDelay` seconds later on it can be finished. Only the payer may.
    function startExit(bytes32 id) external {
        Channel storage channel = _existing(id);
        if (msg.sender != channel.payer) revert OnlyBy(channel.payer);
        if (channel.exitAt != 0) revert Exiting(id, channel.exitAt);
        uint64 exitAt = uint64(block.timestamp) + channel.exitDelay;
        channel.exitAt = exitAt;
        emit ExitStarted(id, exitAt);
    }

    /// @notice Ends a channel after its exit delay and credits the payer with what was not claimed. Only the payer may.
    function finishExit(bytes32 id) external {
        Channel storage channel = _existing(id);
        if (msg.sender != channel.payer) revert OnlyBy(channel.payer);
        uint64 exitAt = channel.exitAt;
        if (exitAt == 0) revert NotExiting(id);
        if (block.timestamp < exitAt) revert TooEarly(exitAt);
        _close(id, channel);
    }

    /// @notice A channel's state; all zero when there is no such channel (any more).
    function channelOf(bytes32 id) external view returns (Channel memory) {
        return _channels[id];
    }

    /// @notice The payee of a channel id, which the id itself names.
    function payeeOf(bytes32 id) public pure returns (address) {
        return address(uint160(uint256(id) >> 96));
    }

    /// @notice What a channel's signer signs to make a voucher (EIP-712).
    function voucherDigest(bytes32 id, uint128 cumulative) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(VOUCHER_TYPEHASH, id, cumulative)));
    }

    function _existing(bytes32 id) private view returns (Channel storage channel) {
        channel = _channels[id];
        if (channel.signer == address(0)) revert UnknownChannel(id);
    }

    /// @dev An amount or a sum of them as a deposit.
    function _deposit(uint256 amount) private pure returns (uint96) {
        if (amount == 0) revert ZeroAmount();
        if (amount > type(uint96).max) revert DepositTooLarge(amount);
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint96(amount);
    }

    /// @dev What a voucher adds to the claimed sum: zero for an old one, and in a channel that does not exist.
    function _claimable(Channel storage channel, uint128 cumulative) private view returns (uint96) {
        (uint96 claimed, uint96 deposit) = (channel.claimed, channel.deposit);
        // forge-lint: disable-next-line(unsafe-typecast)
        uint96 covered = cumulative < deposit ? uint96(cumulative) : deposit;
        return covered > claimed ? covered - claimed : 0;
    }

    /// @dev The key is recovered and compared; the signer is never asked as a contract, so no code at its address can void a voucher.
    function _claim(bytes32 id, Channel storage channel, uint128 cumulative, uint96 amount, bytes calldata signature)
        private
    {
        address recovered = ECDSA.recoverCalldata(voucherDigest(id, cumulative), signature);
        if (recovered != channel.signer) revert WrongSigner(recovered, channel.signer);
        uint96 claimed = channel.claimed + amount;
        channel.claimed = claimed;
        credit[channel.token][payeeOf(id)] += amount;
        emit Claimed(id, amount, claimed);
    }

    function _close(bytes32 id, Channel storage channel) private {
        (uint96 claimed, address token, address payer) = (channel.claimed, channel.token, channel.payer);
        uint96 refund = channel.deposit - claimed;
        delete _channels[id];
        if (refund > 0) credit[token][payer] += refund;
        emit Closed(id, claimed, refund);
    }
}
