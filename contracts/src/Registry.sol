// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Credits} from "./Credits.sol";

/// @title Where providers make themselves known, and what they have at stake.
/// @notice A node is the account that registers it. Its stake, in the native coin, is what it can lose in an {Audit}; prices are off chain.
/// Stake leaves only after a public delay, after the end of a pledge, and never while a case against the node is open.
/// @dev The arbiter is fixed for ever at deployment: the {Audit} that deployed this contract. There is no other privileged account.
contract Registry is Credits {
    using SafeCast for uint256;

    /// @notice What a node says of itself; nobody vouches for it.
    /// @param url where the node answers
    /// @param capabilities the SHA-256 of the capability document that the node serves
    /// @param region a short text such as "eu-west", padded with zeros
    struct Profile {
        string url;
        bytes32 capabilities;
        bytes32 region;
    }

    /// @notice A node's stake, in wei.
    /// @param bonded all that can be slashed, what is unbonding included
    /// @param unbonding the part that the node wants to take out
    /// @param releaseAt Unix seconds from which that part can leave
    /// @param pledgedUntil Unix seconds before which nothing leaves
    /// @param openCases how many cases against the node are open; nothing leaves before there are none
    struct Stake {
        uint128 bonded;
        uint128 unbonding;
        uint64 releaseAt;
        uint64 pledgedUntil;
        uint64 openCases;
    }

    /// @notice Seconds between the announcement that stake will leave and its leaving: time to open cases, and to move files.
    uint64 public constant UNBONDING_DELAY = 7 days;
    /// @notice The furthest end of a pledge, in seconds from now.
    uint64 public constant MAX_PLEDGE = 1096 days;
    /// @notice The longest url, in bytes.
    uint256 public constant MAX_URL_BYTES = 256;

    /// @notice The only account that opens and closes cases and slashes.
    address public immutable ARBITER;

    /// @notice The sum that slashing took out of circulation. It stays in this contract for ever.
    uint256 public burned;
    mapping(address node => Profile) private _profiles;
    mapping(address node => Stake) private _stakes;

    /// @notice A node registered or changed its profile.
    event Registered(address indexed node, string url, bytes32 capabilities, bytes32 region);
    /// @notice A node took back its profile. Its stake is as before.
    event Deregistered(address indexed node);
    /// @notice A node's stake grew by `amount` to `bonded`.
    event Staked(address indexed node, address indexed from, uint256 amount, uint256 bonded);
    /// @notice A node promised not to take out stake before `until`.
    event Pledged(address indexed node, uint64 until);
    /// @notice A node wants to take out `amount` at `releaseAt` at the earliest; zero: it no longer wants to.
    event UnbondingStarted(address indexed node, uint256 amount, uint64 releaseAt);
    /// @notice Stake left and became credit of the node.
    event Unbonded(address indexed node, uint256 amount, uint256 bonded);
    /// @notice A node lost stake: `compensation` became credit of the beneficiary, `burnt` nobody's.
    event Slashed(address indexed node, address indexed beneficiary, uint256 compensation, uint256 burnt);

    /// @notice Only the arbiter may do that.
    error OnlyArbiter();
    /// @notice The url is empty or too long.
    error InvalidUrl(uint256 length);
    /// @notice The node is not registered.
    error NotRegistered(address node);
    /// @notice The node has less at stake than the amount.
    error StakeTooSmall(address node, uint256 bonded, uint256 amount);
    /// @notice The node has nothing at stake.
    error NothingAtStake(address node);
    /// @notice The pledge would not end later than the one there is, or too far from now.
    error InvalidPledge(uint64 until);
    /// @notice Nothing is unbonding.
    error NotUnbonding(address node);
    /// @notice The stake cannot leave before `earliest`.
    error TooEarly(uint64 earliest);
    /// @notice The stake cannot leave while cases are open.
    error CasesOpen(address node, uint64 openCases);

    modifier onlyArbiter() {
        _onlyArbiter();
        _;
    }

    constructor() {
        ARBITER = msg.sender;
    }

    /// @notice Registers the caller as a node, or replaces its profile. Any value sent is added to its stake.
    /// @param url 1 to 256 bytes
    function register(string calldata url, bytes32 capabilities, bytes32 region) external payable {
        if (bytes(url).length == 0 || bytes(url).length > MAX_URL_BYTES) revert InvalidUrl(bytes(url).length);
        _profiles[msg.sender] = Profile({url: url, capabilities: capabilities, region: region});
        emit Registered(msg.sender, url, capabilities, region);
        if (msg.value > 0) _bond(msg.sender);
    }

    /// @notice Takes the caller's profile back.
    function deregister() external {
        if (bytes(_profiles[msg.sender].url).length == 0) revert NotRegistered(msg.sender);
        delete _profiles[msg.sender];
        emit Deregistered(msg.sender);
    }

    /// @notice Adds the value sent to a node's stake. It is the node's from then on.
    function stake(address node) external payable {
        if (msg.value == 0) revert ZeroAmount();
        _bond(node);
    }

    /// @notice Promises that the caller's stake stays until a time. A pledge can be prolonged but not shortened; a requester can ask for one
    /// that lasts longer than the lease that it signs.
    /// @param until Unix seconds
    function pledge(uint64 until) external {
        Stake storage own = _stakes[msg.sender];
        if (until <= own.pledgedUntil || until > block.timestamp + MAX_PLEDGE) revert InvalidPledge(until);
        own.pledgedUntil = until;
        emit Pledged(msg.sender, until);
    }

    /// @notice Announces that the caller will take out an amount, in place of what it announced before; zero takes the announcement back.
    /// Until it has left, the whole stake can be slashed.
    function startUnbonding(uint128 amount) external {
        Stake storage own = _stakes[msg.sender];
        if (amount > own.bonded) revert StakeTooSmall(msg.sender, own.bonded, amount);
        uint64 releaseAt = amount == 0 ? 0 : uint64(block.timestamp) + UNBONDING_DELAY;
        own.unbonding = amount;
        own.releaseAt = releaseAt;
        emit UnbondingStarted(msg.sender, amount, releaseAt);
    }

    /// @notice Turns what was announced into credit of the caller, which {withdraw} sends.
    function finishUnbonding() external {
        Stake storage own = _stakes[msg.sender];
        uint128 amount = own.unbonding;
        if (amount == 0) revert NotUnbonding(msg.sender);
        if (block.timestamp < own.releaseAt) revert TooEarly(own.releaseAt);
        if (block.timestamp < own.pledgedUntil) revert TooEarly(own.pledgedUntil);
        if (own.openCases != 0) revert CasesOpen(msg.sender, own.openCases);
        own.unbonding = 0;
        own.releaseAt = 0;
        own.bonded -= amount;
        credit[address(0)][msg.sender] += amount;
        emit Unbonded(msg.sender, amount, own.bonded);
    }

    /// @notice Holds a node's stake back until {closeCase} or {slash}. Only the arbiter may.
    function openCase(address node) external onlyArbiter {
        Stake storage held = _stakes[node];
        if (held.bonded == 0) revert NothingAtStake(node);
        held.openCases++;
    }

    /// @notice Ends a case in the node's favour. Only the arbiter may.
    function closeCase(address node) external onlyArbiter {
        _stakes[node].openCases--;
    }

    /// @notice Ends a case against the node: it loses `amount`, or all it has. Only the arbiter may. Half goes to the beneficiary and the
    /// other half to nobody, so that a node cannot take its stake out by slashing itself.
    function slash(address node, uint128 amount, address beneficiary) external onlyArbiter {
        Stake storage held = _stakes[node];
        held.openCases--;
        uint128 taken = amount < held.bonded ? amount : held.bonded;
        held.bonded -= taken;
        if (held.unbonding > held.bonded) held.unbonding = held.bonded;
        uint128 compensation = taken / 2;
        burned += taken - compensation;
        credit[address(0)][beneficiary] += compensation;
        emit Slashed(node, beneficiary, compensation, taken - compensation);
    }

    /// @notice A node's profile; its url is empty when the node is not registered.
    function profileOf(address node) external view returns (Profile memory) {
        return _profiles[node];
    }

    /// @notice A node's stake.
    function stakeOf(address node) external view returns (Stake memory) {
        return _stakes[node];
    }

    function _bond(address node) private {
        Stake storage held = _stakes[node];
        uint128 bonded = held.bonded + msg.value.toUint128();
        held.bonded = bonded;
        emit Staked(node, msg.sender, msg.value, bonded);
    }

    function _onlyArbiter() private view {
        if (msg.sender != ARBITER) revert OnlyArbiter();
    }
}
