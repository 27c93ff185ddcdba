// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Audit} from "../src/Audit.sol";
import {Registry} from "../src/Registry.sol";
import {AuditTest} from "./support/AuditTest.sol";
import {Trees} from "./support/Trees.sol";

contract AuditContractTest is AuditTest {
    function wrongStatus(Audit.Status status) private pure returns (bytes memory) {
        return abi.encodeWithSelector(Audit.WrongStatus.selector, status);
    }

    function expectStatus(Audit.Status status) private {
        vm.expectRevert(wrongStatus(status));
    }

    function test_TheRegistryHasTheAuditForItsArbiter() external view {
        assertEq(registry.ARBITER(), address(audit), "arbiter");
    }

    function test_AChallengeDrawsALeafFromTheBlocksRandomness() external {
        Audit.Custody memory custody = custodyOf(1);
        bytes32 id = audit.custodyId(custody);
        bytes32 before = blockhash(block.number - 1);
        uint64 expected = uint64(uint256(keccak256(abi.encode(keccak256("block"), before, id))) % LEAVES);
        uint64 deadline = uint64(block.timestamp) + 24 hours;
        vm.expectEmit(address(audit));
        emit Audit.Challenged(id, provider, requester, custody.root, custody.lease, expected, deadline);
        assertEq(challenge(custody), expected, "leaf");

        Audit.Challenge memory open = audit.challengeOf(id);
        assertEq(open.challenger, auditor, "challenger");
        assertEq(open.bond, 150_000 * 4 * 10 gwei, "bond");
        assertEq(open.leaf, expected, "kept leaf");
        assertEq(open.deadline, deadline, "deadline");
        assertTrue(open.status == Audit.Status.Challenged, "status");
        assertEq(registry.stakeOf(provider).openCases, 1, "cases");
    }

    function test_AnAnswerEarnsTheBondAndEndsTheCase() external {
        Audit.Custody memory custody = custodyOf(1);
        uint64 leaf = challenge(custody);
        bytes32 id = audit.custodyId(custody);
        vm.expectEmit(address(audit));
        emit Audit.Answered(id);
        answer(custody, 1, leaf);
        uint256 bond = 150_000 * 4 * 10 gwei;
        assertEq(audit.credit(address(0), provider), bond, "bond");
        assertEq(registry.stakeOf(provider).openCases, 0, "cases");
        assertEq(registry.stakeOf(provider).bonded, 5 ether, "stake");
        vm.prank(provider);
        audit.withdraw(address(0), provider, bond);

        answerExpecting(wrongStatus(Audit.Status.Idle), custody, 1, leaf);
        // The same statement again, in another block: another leaf.
        vm.prevrandao(keccak256("another block"));
        challenge(custody);
    }

    function test_EveryLeafCanBeDrawnAndAnswered() external {
        Audit.Custody memory custody = custodyOf(1);
        uint256 drawn = 0;
        for (uint256 i = 0; i < 64; i++) {
            vm.prevrandao(keccak256(abi.encode(i)));
            uint64 leaf = challenge(custody);
            drawn |= 1 << leaf;
            answer(custody, 1, leaf);
        }
        assertEq(drawn, (1 << LEAVES) - 1, "all were drawn");
    }

    function test_AWrongAnswerIsRefusedAndARightOneStillCounts() external {
        Audit.Custody memory custody = custodyOf(1);
        uint64 leaf = challenge(custody);
        (, bytes32[] memory path) = Trees.build(1, LEAVES, leaf);
        bytes memory wrong = abi.encodeWithSelector(Audit.WrongProof.selector, leaf);
        vm.expectRevert(wrong);
        audit.answer(custody, Trees.leaf(2, leaf), path);
        uint64 other = (leaf + 1) % LEAVES;
        (, bytes32[] memory otherPath) = Trees.build(1, LEAVES, other);
        vm.expectRevert(wrong);
        audit.answer(custody, Trees.leaf(1, other), otherPath);
        vm.expectRevert(wrong);
        audit.answer(custody, "", new bytes32[](0));
        answer(custody, 1, leaf);
    }

    function test_AnAnswerCountsToTheDeadlineAndATimeoutAfterIt() external {
        Audit.Custody memory custody = custodyOf(1);
        uint64 leaf = challenge(custody);
        uint64 deadline = uint64(block.timestamp) + 24 hours;
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(Audit.TooEarly.selector, deadline));
        audit.timeout(custody);
        answer(custody, 1, leaf);

        Audit.Custody memory second = custodyOf(2);
        leaf = challenge(second);
        deadline = uint64(block.timestamp) + 24 hours;
        vm.warp(deadline + 1);
        answerExpecting(abi.encodeWithSelector(Audit.TooLate.selector, deadline), second, 2, leaf);
        audit.timeout(second);
    }

    function test_ATimeoutSlashesOnceAndGivesTheBondBack() external {
        Audit.Custody memory custody = custodyOf(1);
        bytes32 id = audit.custodyId(custody);
        bytes memory signature = sign(PROVIDER_KEY, id);
        challenge(custody);
        vm.warp(block.timestamp + 24 hours + 1);
        vm.expectEmit(address(audit));
        emit Audit.TimedOut(id);
        vm.expectEmit(address(registry));
        emit Registry.Slashed(provider, requester, 0.5 ether, 0.5 ether);
        audit.timeout(custody);
        assertEq(audit.credit(address(0), auditor), 150_000 * 4 * 10 gwei, "bond");
        assertEq(registry.credit(address(0), requester), 0.5 ether, "compensation");
        assertEq(registry.stakeOf(provider).bonded, 4 ether, "stake");

        expectStatus(Audit.Status.Done);
        audit.timeout(custody);
        uint256 bond = audit.requiredBond();
        expectStatus(Audit.Status.Done);
        vm.prank(auditor);
        audit.challenge{value: bond}(custody, signature);
    }

    function test_AChallengeWantsTheProvidersSignature() external {
        Audit.Custody memory custody = custodyOf(1);
        bytes32 id = audit.custodyId(custody);
        uint256 bond = audit.requiredBond();
        bytes memory forged = sign(REQUESTER_KEY, id);
        vm.expectRevert(abi.encodeWithSelector(Audit.WrongSigner.selector, requester, provider));
        audit.challenge{value: bond}(custody, forged);
        bytes memory twin = malleable(PROVIDER_KEY, id);
        vm.expectPartialRevert(ECDSA.ECDSAInvalidSignatureS.selector);
        audit.challenge{value: bond}(custody, twin);

        // Another penalty than was signed, and another chain.
        bytes memory signature = sign(PROVIDER_KEY, id);
        custody.penalty++;
        vm.expectPartialRevert(Audit.WrongSigner.selector);
        audit.challenge{value: bond}(custody, signature);
        custody.penalty--;
        vm.chainId(block.chainid + 1);
        vm.expectPartialRevert(Audit.WrongSigner.selector);
        audit.challenge{value: bond}(custody, signature);
    }

    function test_AnExpiredOrImpossibleStatementCannotBeChallenged() external {
        uint256 bond = audit.requiredBond();
        Audit.Custody memory custody = custodyOf(1);
        uint64[3] memory counts = [0, (1 << 34) + 1, type(uint64).max];
        for (uint256 i = 0; i < counts.length; i++) {
            custody.leafCount = counts[i];
            bytes memory signed = sign(PROVIDER_KEY, audit.custodyId(custody));
            vm.expectRevert(abi.encodeWithSelector(Audit.InvalidLeafCount.selector, counts[i]));
            audit.challenge{value: bond}(custody, signed);
        }
        custody.leafCount = 1 << 34;
        challenge(custody);

        custody = custodyOf(2);
        bytes memory signature = sign(PROVIDER_KEY, audit.custodyId(custody));
        vm.warp(custody.expiresAt);
        vm.expectRevert(abi.encodeWithSelector(Audit.Expired.selector, custody.expiresAt));
        audit.challenge{value: bond}(custody, signature);
        vm.warp(custody.expiresAt - 1);
        audit.challenge{value: bond}(custody, signature);
    }

    function test_AChallengeWantsABondAndOneAtATime() external {
        Audit.Custody memory custody = custodyOf(1);
        bytes memory signature = sign(PROVIDER_KEY, audit.custodyId(custody));
        uint256 bond = audit.requiredBond();
        vm.expectRevert(abi.encodeWithSelector(Audit.BondTooSmall.selector, bond - 1, bond));
        audit.challenge{value: bond - 1}(custody, signature);
        vm.deal(address(this), uint256(1) << 100);
        vm.expectRevert(abi.encodeWithSelector(SafeCast.SafeCastOverflowedUintDowncast.selector, 96, uint256(1) << 96));
        audit.challenge{value: uint256(1) << 96}(custody, signature);
        audit.challenge{value: bond + 1}(custody, signature);
        expectStatus(Audit.Status.Challenged);
        audit.challenge{value: bond}(custody, signature);
    }

    function test_AProviderWithoutStakeCannotBeChallenged() external {
        vm.prank(provider);
        registry.startUnbonding(5 ether);
        vm.warp(block.timestamp + 7 days);
        vm.prank(provider);
        registry.finishUnbonding();
        Audit.Custody memory custody = custodyOf(1);
        bytes memory signature = sign(PROVIDER_KEY, audit.custodyId(custody));
        uint256 bond = audit.requiredBond();
        vm.expectRevert(abi.encodeWithSelector(Registry.NothingAtStake.selector, provider));
        audit.challenge{value: bond}(custody, signature);
    }

    function test_StakeDoesNotLeaveBeforeTheChallengeEnds() external {
        vm.prank(provider);
        registry.startUnbonding(5 ether);
        vm.warp(block.timestamp + 7 days - 1);
        Audit.Custody memory custody = custodyOf(1);
        challenge(custody);
        vm.warp(block.timestamp + 24 hours + 1);
        vm.expectRevert(abi.encodeWithSelector(Registry.CasesOpen.selector, provider, 1));
        vm.prank(provider);
        registry.finishUnbonding();
        audit.timeout(custody);
        vm.prank(provider);
        registry.finishUnbonding();
        assertEq(registry.credit(address(0), provider), 4 ether, "what the penalty left");
    }

    function test_SeveralChallengesShareTheStake() external {
        Audit.Custody memory first = custodyOf(1);
        first.penalty = 4 ether;
        Audit.Custody memory second = custodyOf(2);
        second.penalty = 4 ether;
        challenge(first);
        challenge(second);
        vm.warp(block.timestamp + 24 hours + 1);
        audit.timeout(first);
        audit.timeout(second);
        assertEq(registry.stakeOf(provider).bonded, 0, "nothing is left");
        assertEq(registry.credit(address(0), requester), 2.5 ether, "half of all");
    }

    function test_AReleaseEndsAStatement() external {
        Audit.Custody memory custody = custodyOf(1);
        bytes32 id = audit.custodyId(custody);
        bytes memory signature = sign(PROVIDER_KEY, id);
        bytes memory released = sign(REQUESTER_KEY, audit.releaseDigest(id));
        uint64 leaf = challenge(custody);
        vm.expectEmit(address(audit));
        emit Audit.Released(id);
        audit.release(custody, released);
        assertEq(audit.credit(address(0), provider), 150_000 * 4 * 10 gwei, "bond");
        assertEq(registry.stakeOf(provider).openCases, 0, "cases");

        expectStatus(Audit.Status.Done);
        audit.release(custody, released);
        answerExpecting(wrongStatus(Audit.Status.Done), custody, 1, leaf);
        uint256 bond = audit.requiredBond();
        expectStatus(Audit.Status.Done);
        audit.challenge{value: bond}(custody, signature);
    }

    function test_AReleaseBeforeAChallengeForestallsIt() external {
        Audit.Custody memory custody = custodyOf(1);
        bytes32 id = audit.custodyId(custody);
        audit.release(custody, sign(REQUESTER_KEY, audit.releaseDigest(id)));
        bytes memory signature = sign(PROVIDER_KEY, id);
        uint256 bond = audit.requiredBond();
        expectStatus(Audit.Status.Done);
        audit.challenge{value: bond}(custody, signature);
        assertEq(audit.credit(address(0), provider), 0, "no bond, no credit");
    }

    function test_OnlyTheRequesterReleasesAndOnlyThatStatement() external {
        Audit.Custody memory custody = custodyOf(1);
        Audit.Custody memory other = custodyOf(2);
        bytes memory own = sign(PROVIDER_KEY, audit.releaseDigest(audit.custodyId(custody)));
        vm.expectRevert(abi.encodeWithSelector(Audit.WrongSigner.selector, provider, requester));
        audit.release(custody, own);
        bytes memory others = sign(REQUESTER_KEY, audit.releaseDigest(audit.custodyId(other)));
        vm.expectPartialRevert(Audit.WrongSigner.selector);
        audit.release(custody, others);
        // Nor does the provider's signature of the statement pass for a release.
        bytes memory statement = sign(REQUESTER_KEY, audit.custodyId(custody));
        vm.expectPartialRevert(Audit.WrongSigner.selector);
        audit.release(custody, statement);
    }

    function test_WithoutAChallengeThereIsNothingToAnswerOrTimeOut() external {
        Audit.Custody memory custody = custodyOf(1);
        answerExpecting(wrongStatus(Audit.Status.Idle), custody, 1, 0);
        expectStatus(Audit.Status.Idle);
        audit.timeout(custody);
    }

    function testFuzz_AProviderThatHasTheShardAlwaysAnswers(bytes32 randomness, uint64 leafCount, uint256 shard)
        external
    {
        leafCount = uint64(bound(leafCount, 1, 70));
        Audit.Custody memory custody = custodyOf(1);
        custody.leafCount = leafCount;
        (custody.root,) = Trees.build(shard, leafCount, 0);
        vm.prevrandao(randomness);
        uint64 leaf = challenge(custody);
        (, bytes32[] memory path) = Trees.build(shard, leafCount, leaf);
        audit.answer(custody, Trees.leaf(shard, leaf), path);
        assertEq(registry.stakeOf(provider).bonded, 5 ether, "stake");
    }
}
