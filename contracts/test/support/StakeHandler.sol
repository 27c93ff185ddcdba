// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Audit} from "../../src/Audit.sol";
import {Registry} from "../../src/Registry.sol";
import {Test} from "./Test.sol";
import {Trees} from "./Trees.sol";

/// @dev Does to registry and audit whatever two providers, a requester and an auditor can do, and keeps books of its own in which each call
/// must come out as predicted.
contract StakeHandler is Test {
    struct Node {
        uint256 bonded;
        uint256 unbonding;
        uint256 releaseAt;
        uint256 pledgedUntil;
        uint256 openCases;
    }

    /// @dev A custody statement and its challenge.
    struct Shard {
        Audit.Custody custody;
        uint256 provider;
        Audit.Status status;
        uint256 bond;
        uint256 deadline;
        address challenger;
        uint64 leaf;
    }

    uint256 private constant PROVIDERS = 2;
    uint256 private constant REQUESTER_KEY = 0x4e9;
    uint256 private constant SHARDS_AT_MOST = 10;
    uint64 private constant LEAVES = 5;

    Audit public immutable audit;
    Registry public immutable registry;
    address private immutable requester = vm.addr(REQUESTER_KEY);
    address[4] private accounts;
    Node[PROVIDERS] private nodes;
    Shard[] private shards;
    mapping(address account => uint256) private stakeCredit;
    mapping(address account => uint256) private bondCredit;
    uint256 private burned;
    uint256 private statements;
    /// @dev The one tree that all statements are about: its root, its leaves, and their paths.
    bytes32 private root;
    bytes[] private leaves;
    bytes32[][] private paths;

    constructor() {
        vm.warp(1_800_000_000);
        for (uint256 i = 0; i < 4; i++) {
            accounts[i] = vm.addr(key(i));
        }
        vm.fee(1 gwei);
        audit = new Audit();
        registry = audit.REGISTRY();
        for (uint64 i = 0; i < LEAVES; i++) {
            leaves.push(Trees.leaf(7, i));
            (bytes32 root_, bytes32[] memory path) = Trees.build(7, LEAVES, i);
            paths.push(path);
            root = root_;
        }
        for (uint256 i = 0; i < 4; i++) {
            vm.deal(account(i), type(uint96).max);
        }
    }

    // What anybody can do.

    function stake(uint256 who, uint256 node, uint256 amount) external {
        node %= PROVIDERS;
        amount = bound(amount, 1, 10 ether);
        vm.prank(account(who));
        registry.stake{value: amount}(account(node));
        nodes[node].bonded += amount;
    }

    function register(uint256 node, uint256 amount, string calldata url) external {
        node %= PROVIDERS;
        amount = bound(amount, 0, 1 ether);
        bool possible = bytes(url).length > 0 && bytes(url).length <= 256;
        bool done = call(account(node), address(registry), amount, abi.encodeCall(Registry.register, (url, root, root)));
        assertTrue(done == possible, "register");
        if (done) nodes[node].bonded += amount;
    }

    function pledge(uint256 node, uint256 until) external {
        node %= PROVIDERS;
        Node storage own = nodes[node];
        until = block.timestamp + bound(until, 0, 20 days);
        bool done = call(account(node), address(registry), 0, abi.encodeCall(Registry.pledge, (uint64(until))));
        assertTrue(done == (until > own.pledgedUntil), "pledge");
        if (done) own.pledgedUntil = until;
    }

    function startUnbonding(uint256 node, uint256 amount) external {
        node %= PROVIDERS;
        Node storage own = nodes[node];
        amount = bound(amount, 0, own.bonded + own.bonded / 8 + 1);
        bool done =
            call(account(node), address(registry), 0, abi.encodeCall(Registry.startUnbonding, (uint128(amount))));
        assertTrue(done == (amount <= own.bonded), "startUnbonding");
        if (!done) return;
        own.unbonding = amount;
        own.releaseAt = amount == 0 ? 0 : block.timestamp + 7 days;
    }

    function finishUnbonding(uint256 node) external {
        node %= PROVIDERS;
        Node storage own = nodes[node];
        bool atRisk = own.openCases > 0 || block.timestamp < own.releaseAt || block.timestamp < own.pledgedUntil;
        bool done = call(account(node), address(registry), 0, abi.encodeCall(Registry.finishUnbonding, ()));
        assertTrue(done == (own.unbonding > 0 && !atRisk), "stake leaves only when it is not at risk");
        if (!done) return;
        stakeCredit[account(node)] += own.unbonding;
        own.bonded -= own.unbonding;
        own.unbonding = 0;
        own.releaseAt = 0;
    }

    function challenge(uint256 which, uint256 who, uint256 penalty, uint256 bond, bytes32 randomness) external {
        if (shards.length < SHARDS_AT_MOST && which % 2 == 0) {
            uint256 provider = (which >> 1) % PROVIDERS;
            Shard storage added = shards.push();
            added.provider = provider;
            added.custody = Audit.Custody({
                provider: account(provider),
                requester: requester,
                root: root,
                leafCount: LEAVES,
                expiresAt: uint64(block.timestamp + 60 days),
                penalty: uint128(bound(penalty, 0, 4 ether)),
                lease: bytes32(++statements)
            });
        }
        if (shards.length == 0) return;
        Shard storage shard = shards[which % shards.length];
        bond = bound(bond, audit.requiredBond() - 1, 1 ether);
        bytes memory signature = sign(key(shard.provider), audit.custodyId(shard.custody));
        bool possible = bond >= audit.requiredBond() && shard.status == Audit.Status.Idle
            && block.timestamp < shard.custody.expiresAt && nodes[shard.provider].bonded > 0;
        vm.prevrandao(randomness);
        bool done =
            call(account(who), address(audit), bond, abi.encodeCall(Audit.challenge, (shard.custody, signature)));
        assertTrue(done == possible, "challenge");
        if (!done) return;
        shard.status = Audit.Status.Challenged;
        shard.bond = bond;
        shard.deadline = block.timestamp + 24 hours;
        shard.challenger = account(who);
        shard.leaf = audit.challengeOf(audit.custodyId(shard.custody)).leaf;
        nodes[shard.provider].openCases++;
    }

    function answer(uint256 which, uint256 who, bool wrong) external {
        if (shards.length == 0) return;
        Shard storage shard = shards[which % shards.length];
        bytes32[] memory path = paths[shard.leaf];
        bytes memory leaf = leaves[wrong ? (shard.leaf + 1) % LEAVES : shard.leaf];
        bool possible = !wrong && shard.status == Audit.Status.Challenged && block.timestamp <= shard.deadline;
        bool done = call(account(who), address(audit), 0, abi.encodeCall(Audit.answer, (shard.custody, leaf, path)));
        assertTrue(done == possible, "answer");
        if (!done) return;
        bondCredit[account(shard.provider)] += shard.bond;
        end(shard, Audit.Status.Idle);
    }

    function release(uint256 which, uint256 who, bool forged) external {
        if (shards.length == 0 || which % 4 != 0) return;
        Shard storage shard = shards[(which >> 2) % shards.length];
        bytes32 digest = audit.releaseDigest(audit.custodyId(shard.custody));
        bytes memory signature = sign(forged ? key(shard.provider) : REQUESTER_KEY, digest);
        bool done = call(account(who), address(audit), 0, abi.encodeCall(Audit.release, (shard.custody, signature)));
        assertTrue(done == (!forged && shard.status != Audit.Status.Done), "release");
        if (!done) return;
        if (shard.status == Audit.Status.Challenged) {
            bondCredit[account(shard.provider)] += shard.bond;
            end(shard, Audit.Status.Done);
        }
        shard.status = Audit.Status.Done;
    }

    function timeout(uint256 which, uint256 who) external {
        if (shards.length == 0) return;
        Shard storage shard = shards[which % shards.length];
        bool possible = shard.status == Audit.Status.Challenged && block.timestamp > shard.deadline;
        bool done = call(account(who), address(audit), 0, abi.encodeCall(Audit.timeout, (shard.custody)));
        assertTrue(done == possible, "timeout");
        if (!done) return;
        Node storage node = nodes[shard.provider];
        uint256 taken = shard.custody.penalty < node.bonded ? shard.custody.penalty : node.bonded;
        node.bonded -= taken;
        if (node.unbonding > node.bonded) node.unbonding = node.bonded;
        stakeCredit[shard.custody.requester] += taken / 2;
        burned += taken - taken / 2;
        bondCredit[shard.challenger] += shard.bond;
        end(shard, Audit.Status.Done);
    }

    function withdraw(uint256 who, uint256 amount, bool bonds) external {
        address owner = who % 5 == 4 ? requester : account(who);
        uint256 held = bonds ? bondCredit[owner] : stakeCredit[owner];
        amount = bound(amount, 0, held + 1);
        address from = bonds ? address(audit) : address(registry);
        bool done = call(owner, from, 0, abi.encodeWithSelector(audit.withdraw.selector, address(0), owner, amount));
        assertTrue(done == (amount > 0 && amount <= held), "withdraw");
        if (!done) return;
        if (bonds) bondCredit[owner] -= amount;
        else stakeCredit[owner] -= amount;
    }

    /// @dev Nobody but the audit judges.
    function trespass(uint256 who, uint256 node, uint128 amount) external {
        address own = account(node % PROVIDERS);
        bytes[3] memory calls = [
            abi.encodeCall(Registry.openCase, (own)),
            abi.encodeCall(Registry.closeCase, (own)),
            abi.encodeCall(Registry.slash, (own, amount, account(who)))
        ];
        for (uint256 i = 0; i < calls.length; i++) {
            assertTrue(!call(account(who), address(registry), 0, calls[i]), "refused");
        }
    }

    function wait(uint256 seconds_) external {
        vm.warp(block.timestamp + bound(seconds_, 1, 3 days));
    }

    // What the invariants compare.

    function check() external view {
        uint256 owed = burned;
        uint256 bonds = 0;
        assertEq(registry.burned(), burned, "burned");
        for (uint256 i = 0; i < PROVIDERS; i++) {
            Registry.Stake memory held = registry.stakeOf(account(i));
            assertEq(held.bonded, nodes[i].bonded, "bonded");
            assertEq(held.unbonding, nodes[i].unbonding, "unbonding");
            assertEq(held.openCases, nodes[i].openCases, "cases");
            assertTrue(held.unbonding <= held.bonded, "no more is unbonding than is there");
            owed += held.bonded;
            uint256 challenged = 0;
            for (uint256 j = 0; j < shards.length; j++) {
                if (shards[j].provider == i && shards[j].status == Audit.Status.Challenged) challenged++;
            }
            assertEq(held.openCases, challenged, "a case for each open challenge");
        }
        for (uint256 i = 0; i < shards.length; i++) {
            Audit.Challenge memory open = audit.challengeOf(audit.custodyId(shards[i].custody));
            assertTrue(open.status == shards[i].status, "status");
            if (open.status == Audit.Status.Challenged) bonds += open.bond;
        }
        for (uint256 i = 0; i < 5; i++) {
            address owner = i == 4 ? requester : account(i);
            assertEq(registry.credit(address(0), owner), stakeCredit[owner], "credit of stake");
            assertEq(audit.credit(address(0), owner), bondCredit[owner], "credit of bonds");
            owed += stakeCredit[owner];
            bonds += bondCredit[owner];
        }
        assertEq(address(registry).balance, owed, "the registry holds what it owes and what it burned");
        assertEq(address(audit).balance, bonds, "the audit holds the open bonds and what it owes");
    }

    function end(Shard storage shard, Audit.Status status) private {
        shard.status = status;
        nodes[shard.provider].openCases--;
    }

    function call(address caller, address to, uint256 value, bytes memory data) private returns (bool done) {
        vm.prank(caller);
        (done,) = to.call{value: value}(data);
    }

    function key(uint256 number) private pure returns (uint256) {
        return 0xacc0 + number % 4;
    }

    function account(uint256 number) private view returns (address) {
        return accounts[number % 4];
    }
}
