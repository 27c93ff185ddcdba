// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Channels} from "../../src/Channels.sol";
import {Test} from "./Test.sol";
import {Token} from "./Tokens.sol";

/// @dev Does to the channels whatever four accounts can do, in any order, and keeps books of its own in which each call must come out as
/// predicted: a call that reverts where it should not, or the other way round, fails the run.
contract ChannelsHandler is Test {
    /// @dev What these books say of a channel.
    struct Entry {
        bytes32 id;
        uint256 payer;
        address payee;
        address token;
        uint256 deposit;
        uint256 claimed;
        uint256 signed;
        uint256 exitAt;
    }

    uint256 private constant ACCOUNTS = 4;
    uint256 private constant OPEN_AT_MOST = 12;
    uint128 private constant MOST = type(uint96).max;

    Channels public immutable channels;
    Token public immutable token;
    address[ACCOUNTS] private accounts;
    Entry[] private entries;
    Entry[] private closed;
    mapping(bytes32 id => bool) private used;
    mapping(address token => mapping(address account => uint256)) public credit;
    mapping(address token => uint256) public given;

    constructor() {
        vm.warp(1_800_000_000);
        for (uint256 i = 0; i < ACCOUNTS; i++) {
            accounts[i] = vm.addr(key(i));
        }
        channels = new Channels();
        token = new Token();
        for (uint256 i = 0; i < ACCOUNTS; i++) {
            vm.deal(account(i), type(uint128).max);
            token.mint(account(i), type(uint128).max);
            vm.prank(account(i));
            token.approve(address(channels), type(uint256).max);
        }
    }

    // What anybody can do.

    function open(uint256 who, uint256 whom, uint256 amount, bool inToken, uint256 delay) external {
        if (entries.length == OPEN_AT_MOST) return;
        uint256 payer = who % ACCOUNTS;
        address payee = account(payer + 1 + whom % (ACCOUNTS - 1));
        address paidIn = inToken ? address(token) : address(0);
        amount = amountOf(amount, MOST);
        delay = bound(delay, 1 hours, 30 days);
        vm.prank(account(payer));
        bytes32 id =
            channels.open{value: inToken ? 0 : amount}(payee, account(payer), paidIn, uint128(amount), uint32(delay));
        assertTrue(!used[id], "an id is given once");
        used[id] = true;
        entries.push(Entry(id, payer, payee, paidIn, amount, 0, 0, 0));
    }

    function topUp(uint256 which, uint256 who, uint256 amount) external {
        if (entries.length == 0) return;
        Entry storage entry = entries[which % entries.length];
        amount = amountOf(amount, MOST);
        bool possible = entry.exitAt == 0 && entry.deposit + amount <= MOST;
        uint256 value = entry.token == address(0) ? amount : 0;
        (bool done,) = call(account(who), value, abi.encodeCall(Channels.topUp, (entry.id, uint128(amount))));
        assertTrue(done == possible, "topUp");
        if (done) entry.deposit += amount;
    }

    function claim(uint256 which, uint256 who, uint256 sum) external {
        if (entries.length == 0) return;
        Entry storage entry = entries[which % entries.length];
        sum = sumFor(entry, sum);
        uint256 covered = sum < entry.deposit ? sum : entry.deposit;
        (bool done,) =
            call(account(who), 0, abi.encodeCall(Channels.claim, (entry.id, uint128(sum), signed(entry, sum))));
        assertTrue(done == (covered > entry.claimed), "claim");
        if (done) noteClaim(entry, covered);
    }

    function claimMany(uint256 seed, uint256 sum) external {
        uint256 count = entries.length;
        if (count == 0) return;
        Channels.Claim[] memory claims = new Channels.Claim[](seed % 5);
        for (uint256 i = 0; i < claims.length; i++) {
            // Now and then one of a channel that is closed.
            bool gone = closed.length > 0 && (seed >> i) % 4 == 0;
            Entry storage entry = gone ? closed[(seed >> 8) % closed.length] : entries[(seed >> (8 * i)) % count];
            uint256 own = sumFor(entry, uint256(keccak256(abi.encode(sum, i))));
            claims[i] = Channels.Claim(entry.id, uint128(own), signed(entry, own));
        }
        uint256 total = channels.claimMany(claims);
        for (uint256 i = 0; i < claims.length; i++) {
            for (uint256 j = 0; j < count; j++) {
                if (entries[j].id != claims[i].id) continue;
                uint256 sum_ = claims[i].cumulative;
                uint256 covered = sum_ < entries[j].deposit ? sum_ : entries[j].deposit;
                if (covered <= entries[j].claimed) continue;
                total -= covered - entries[j].claimed;
                noteClaim(entries[j], covered);
            }
        }
        assertEq(total, 0, "claimMany");
    }

    function close(uint256 which, uint256 sum, bool withVoucher) external {
        if (entries.length == 0) return;
        uint256 place = which % entries.length;
        Entry storage entry = entries[place];
        sum = withVoucher ? sumFor(entry, sum) : 0;
        bytes memory signature = withVoucher ? signed(entry, sum) : bytes("");
        vm.prank(entry.payee);
        channels.close(entry.id, uint128(sum), signature);
        uint256 covered = sum < entry.deposit ? sum : entry.deposit;
        if (covered > entry.claimed) noteClaim(entry, covered);
        noteClose(place);
    }

    function startExit(uint256 which) external {
        if (entries.length == 0) return;
        Entry storage entry = entries[which % entries.length];
        (bool done,) = call(account(entry.payer), 0, abi.encodeCall(Channels.startExit, (entry.id)));
        assertTrue(done == (entry.exitAt == 0), "startExit");
        if (done) entry.exitAt = channels.channelOf(entry.id).exitAt;
        assertTrue(entry.exitAt >= block.timestamp + 1 hours || !done, "the payee has an hour at least");
    }

    function finishExit(uint256 which) external {
        if (entries.length == 0) return;
        uint256 place = which % entries.length;
        Entry storage entry = entries[place];
        bool possible = entry.exitAt != 0 && block.timestamp >= entry.exitAt;
        (bool done,) = call(account(entry.payer), 0, abi.encodeCall(Channels.finishExit, (entry.id)));
        assertTrue(done == possible, "finishExit");
        if (done) noteClose(place);
    }

    function withdraw(uint256 who, uint256 amount, bool inToken) external {
        address owner = account(who);
        address of_ = inToken ? address(token) : address(0);
        uint256 held = credit[of_][owner];
        amount = amountOf(amount, uint256(type(uint128).max));
        if (amount > held && amount % 8 != 0) amount = held;
        (bool done,) = call(owner, 0, abi.encodeWithSelector(channels.withdraw.selector, of_, owner, amount));
        assertTrue(done == (amount > 0 && amount <= held), "withdraw");
        if (done) credit[of_][owner] = held - amount;
    }

    /// @dev What others than the two parties, or the wrong one of them, must not be able to do, and what is wrong in itself.
    function trespass(uint256 which, uint256 who, uint256 sum) external {
        if (entries.length == 0) return;
        Entry storage entry = entries[which % entries.length];
        address caller = account(who);
        if (caller != entry.payee) refused(caller, abi.encodeCall(Channels.close, (entry.id, 0, "")));
        if (caller != account(entry.payer)) {
            refused(caller, abi.encodeCall(Channels.startExit, (entry.id)));
            refused(caller, abi.encodeCall(Channels.finishExit, (entry.id)));
        }
        sum = bound(sum, entry.claimed + 1, type(uint128).max);
        bytes memory forged = sign(key(entry.payer + 1), channels.voucherDigest(entry.id, uint128(sum)));
        refused(caller, abi.encodeCall(Channels.claim, (entry.id, uint128(sum), forged)));
        if (closed.length == 0) return;
        // A voucher of a closed channel, in that channel and in an open one of the same payer.
        Entry storage old = closed[sum % closed.length];
        forged = signed(old, type(uint128).max);
        refused(caller, abi.encodeCall(Channels.claim, (old.id, type(uint128).max, forged)));
        if (entry.claimed < entry.deposit) {
            refused(caller, abi.encodeCall(Channels.claim, (entry.id, type(uint128).max, forged)));
        }
    }

    /// @dev Money that comes without a call, as from a block's reward or a token's transfer.
    function give(uint256 amount, bool inToken) external {
        amount = bound(amount, 0, type(uint64).max);
        if (inToken) {
            token.mint(address(channels), amount);
            given[address(token)] += amount;
        } else {
            vm.deal(address(channels), address(channels).balance + amount);
            given[address(0)] += amount;
        }
    }

    function wait(uint256 seconds_) external {
        vm.warp(block.timestamp + bound(seconds_, 1, 10 days));
    }

    // What the invariants compare.

    /// @dev The contract's state is what these books say, and its money is what it owes and what it was given.
    function check() external view {
        for (uint256 i = 0; i < 2; i++) {
            address of_ = i == 0 ? address(0) : address(token);
            uint256 owed = given[of_];
            for (uint256 j = 0; j < ACCOUNTS; j++) {
                uint256 held = channels.credit(of_, account(j));
                assertEq(held, credit[of_][account(j)], "credit");
                owed += held;
            }
            for (uint256 j = 0; j < entries.length; j++) {
                Entry storage entry = entries[j];
                if (entry.token != of_) continue;
                Channels.Channel memory channel = channels.channelOf(entry.id);
                assertEq(channel.deposit, entry.deposit, "deposit");
                assertEq(channel.claimed, entry.claimed, "claimed");
                assertEq(channel.exitAt, entry.exitAt, "exitAt");
                assertTrue(channel.claimed <= channel.deposit, "claimed never exceeds the deposit");
                assertTrue(channel.claimed <= entry.signed, "claimed never exceeds what was signed");
                owed += channel.deposit - channel.claimed;
            }
            uint256 balance = of_ == address(0) ? address(channels).balance : token.balanceOf(address(channels));
            assertEq(balance, owed, "escrow covers every open channel and credit");
        }
        for (uint256 i = closed.length > 4 ? closed.length - 4 : 0; i < closed.length; i++) {
            assertEq(channels.channelOf(closed[i].id).signer, address(0), "closed for ever");
        }
    }

    function noteClaim(Entry storage entry, uint256 covered) private {
        credit[entry.token][entry.payee] += covered - entry.claimed;
        entry.claimed = covered;
    }

    function noteClose(uint256 place) private {
        Entry storage entry = entries[place];
        credit[entry.token][account(entry.payer)] += entry.deposit - entry.claimed;
        closed.push(entry);
        entries[place] = entries[entries.length - 1];
        entries.pop();
    }

    /// @dev A sum for a voucher: mostly between what was claimed and a little more than the deposit, sometimes anything.
    function sumFor(Entry storage entry, uint256 seed) private view returns (uint256) {
        if (seed % 8 == 0) return bound(seed, 0, type(uint128).max);
        return entry.claimed + (seed >> 3) % (entry.deposit - entry.claimed + entry.deposit / 16 + 2);
    }

    function signed(Entry storage entry, uint256 sum) private returns (bytes memory) {
        if (sum > entry.signed) entry.signed = sum;
        return sign(key(entry.payer), channels.voucherDigest(entry.id, uint128(sum)));
    }

    function refused(address caller, bytes memory data) private {
        (bool done,) = call(caller, 0, data);
        assertTrue(!done, "refused");
    }

    function call(address caller, uint256 value, bytes memory data) private returns (bool, bytes memory) {
        vm.prank(caller);
        return address(channels).call{value: value}(data);
    }

    /// @dev Small amounts half of the time, so that sums meet their bounds.
    function amountOf(uint256 seed, uint256 most) private pure returns (uint256) {
        return seed % 2 == 0 ? bound(seed, 1, 1000) : bound(seed, 1, most);
    }

    function key(uint256 number) private pure returns (uint256) {
        return 0xacc0 + number % ACCOUNTS;
    }

    function account(uint256 number) private view returns (address) {
        return accounts[number % ACCOUNTS];
    }
}
