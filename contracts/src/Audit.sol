// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Credits} from "./Credits.sol";
import {Registry} from "./Registry.sol";
import {ShardTree} from "./ShardTree.sol";

/// @title The last resort when a provider does not prove to a requester that it still has a shard.
/// @notice A provider signs a custody statement for each shard that it takes. Whoever has one can challenge it here: the contract draws a
/// leaf, and the provider answers in time with the leaf and its Merkle path, or loses stake. Nothing is judged but hashes, signatures and
/// times. A good answer earns the challenger's bond, which pays for the provider's transaction.
/// @dev The leaf is drawn in the challenge's own block, from `prevrandao` and, for chains on which that is a constant, the hash of the block
/// before. A challenger can wait for a block that draws a leaf to its liking, which cannot harm a provider that has every leaf; a provider
/// has no say in when the challenge is mined.
contract Audit is Credits, EIP712 {
    using SafeCast for uint256;

    /// @notice What a provider signs: it will keep a shard.
    /// @param provider who keeps it, and signs
    /// @param requester who is compensated if it does not
    /// @param root the root of the shard's tree
    /// @param leafCount the number of its leaves, 1 to 2^34
    /// @param expiresAt Unix seconds until which it can be challenged
    /// @param penalty the stake that the provider loses, in wei
    /// @param lease what it belongs to; makes statements over the same shard differ
    struct Custody {
        address provider;
        address requester;
        bytes32 root;
        uint64 leafCount;
        uint64 expiresAt;
        uint128 penalty;
        bytes32 lease;
    }

    /// @notice Where a custody statement stands: never challenged or every challenge answered; challenged; or done with for ever, since
    /// the provider lost a challenge or the requester released it.
    enum Status {
        Idle,
        Challenged,
        Done
    }

    /// @notice The challenge of a custody statement.
    /// @param challenger who gets the bond back when no answer comes
    /// @param bond what the provider gets for its answer, in wei
    /// @param leaf the index of the leaf to be shown
    /// @param deadline Unix seconds until which an answer counts
    struct Challenge {
        address challenger;
        uint96 bond;
        uint64 leaf;
        uint64 deadline;
        Status status;
    }

    /// @notice The EIP-712 type that a provider signs.
    bytes32 public constant CUSTODY_TYPEHASH = keccak256(
        "Custody(address provider,address requester,bytes32 root,uint64 leafCount,uint64 expiresAt,uint128 penalty,bytes32 lease)"
    );
    /// @notice The EIP-712 type that a requester signs to release a provider; `custody` is the statement's id.
    bytes32 public constant RELEASE_TYPEHASH = keccak256("Release(bytes32 custody)");
    /// @notice Seconds that a provider has to answer.
    uint64 public constant ANSWER_WINDOW = 24 hours;
    /// @notice The gas that the dearest answer needs, rounded up.
    uint256 public constant ANSWER_GAS = 150_000;
    /// @notice The bond is this many times what the answer would cost at the challenge's base fee.
    uint256 public constant BOND_FACTOR = 4;

    /// @notice The registry whose stake is at risk here. This contract deployed it and is its arbiter.
    Registry public immutable REGISTRY;

    mapping(bytes32 custodyId => Challenge) private _challenges;

    /// @notice A provider must show the leaf until the deadline. `root` and `lease` let it find the shard.
    event Challenged(
        bytes32 indexed custodyId,
        address indexed provider,
        address indexed requester,
        bytes32 root,
        bytes32 lease,
        uint64 leaf,
        uint64 deadline
    );
    /// @notice The provider has shown the leaf.
    event Answered(bytes32 indexed custodyId);
    /// @notice The requester had released the provider.
    event Released(bytes32 indexed custodyId);
    /// @notice The provider has not shown the leaf in time.
    event TimedOut(bytes32 indexed custodyId);

    /// @notice The statement has expired.
    error Expired(uint64 expiresAt);
    /// @notice A tree has 1 to 2^34 leaves.
    error InvalidLeafCount(uint64 leafCount);
    /// @notice The signature is valid but another account's than it should be.
    error WrongSigner(address recovered, address signer);
    /// @notice The bond is smaller than {requiredBond}.
    error BondTooSmall(uint256 sent, uint256 required);
    /// @notice The statement's status does not allow that.
    error WrongStatus(Status status);
    /// @notice An answer after the deadline does not count.
    error TooLate(uint64 deadline);
    /// @notice There is time to answer until the deadline.
    error TooEarly(uint64 deadline);
    /// @notice The leaf and path do not lead to the root.
    error WrongProof(uint64 leaf);

    constructor() EIP712("Velas Sphere Audit", "1") {
        REGISTRY = new Registry();
    }

    /// @notice Challenges a custody statement. Anyone who holds it may, so a requester can leave this to an auditor. The value of the call is
    /// the bond: it goes to the provider if the provider answers, else back.
    /// @param signature the provider's
    /// @return leaf the index of the leaf that the provider must show
    function challenge(Custody calldata custody, bytes calldata signature) external payable returns (uint64 leaf) {
        if (block.timestamp >= custody.expiresAt) revert Expired(custody.expiresAt);
        if (custody.leafCount == 0 || custody.leafCount > ShardTree.MAX_LEAVES) {
            revert InvalidLeafCount(custody.leafCount);
        }
        if (msg.value < requiredBond()) revert BondTooSmall(msg.value, requiredBond());
        bytes32 id = custodyId(custody);
        Status status = _challenges[id].status;
        if (status != Status.Idle) revert WrongStatus(status);
        _checkSigner(id, signature, custody.provider);

        uint256 seed = uint256(keccak256(abi.encode(block.prevrandao, blockhash(block.number - 1), id)));
        // forge-lint: disable-next-line(unsafe-typecast)
        leaf = uint64(seed % custody.leafCount);
        uint64 deadline = uint64(block.timestamp) + ANSWER_WINDOW;
        _challenges[id] = Challenge({
            challenger: msg.sender,
            bond: msg.value.toUint96(),
            leaf: leaf,
            deadline: deadline,
            status: Status.Challenged
        });
        emit Challenged(id, custody.provider, custody.requester, custody.root, custody.lease, leaf, deadline);
        REGISTRY.openCase(custody.provider);
    }

    /// @notice Answers a challenge in time. Anyone may; the bond becomes the provider's credit. The statement can be challenged again.
    /// @param leaf the bytes of the leaf, 1 KiB
    /// @param path its neighbours from the leaf up
    function answer(Custody calldata custody, bytes calldata leaf, bytes32[] calldata path) external {
        bytes32 id = custodyId(custody);
        Challenge memory open = _open(id);
        if (block.timestamp > open.deadline) revert TooLate(open.deadline);
        if (!ShardTree.verify(custody.root, custody.leafCount, open.leaf, leaf, path)) revert WrongProof(open.leaf);
        delete _challenges[id];
        credit[address(0)][custody.provider] += open.bond;
        emit Answered(id);
        REGISTRY.closeCase(custody.provider);
    }

    /// @notice Ends a statement for ever with the requester's signed release, which a provider gets before it drops a shard early. Anyone may,
    /// at any time before a timeout was called. An open challenge's bond becomes the provider's credit.
    /// @param signature the requester's, over {releaseDigest}
    function release(Custody calldata custody, bytes calldata signature) external {
        bytes32 id = custodyId(custody);
        Challenge memory open = _challenges[id];
        if (open.status == Status.Done) revert WrongStatus(open.status);
        address recovered = ECDSA.recoverCalldata(releaseDigest(id), signature);
        if (recovered != custody.requester) revert WrongSigner(recovered, custody.requester);
        _finish(id);
        emit Released(id);
        if (open.status == Status.Challenged) {
            credit[address(0)][custody.provider] += open.bond;
            REGISTRY.closeCase(custody.provider);
        }
    }

    /// @notice Ends a challenge whose deadline passed without an answer: the provider loses the penalty, half of it to the requester, and the
    /// challenger gets its bond back as credit. Anyone may. The statement is done with: one loss, one penalty.
    function timeout(Custody calldata custody) external {
        bytes32 id = custodyId(custody);
        Challenge memory open = _open(id);
        if (block.timestamp <= open.deadline) revert TooEarly(open.deadline);
        _finish(id);
        credit[address(0)][open.challenger] += open.bond;
        emit TimedOut(id);
        REGISTRY.slash(custody.provider, custody.penalty, custody.requester);
    }

    /// @notice The smallest bond of a challenge in this block, in wei.
    function requiredBond() public view returns (uint256) {
        return ANSWER_GAS * BOND_FACTOR * block.basefee;
    }

    /// @notice A statement's challenge; all zero when there is none.
    function challengeOf(bytes32 id) external view returns (Challenge memory) {
        return _challenges[id];
    }

    /// @notice A statement's id: what its provider signs (EIP-712).
    function custodyId(Custody calldata custody) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(CUSTODY_TYPEHASH, custody)));
    }

    /// @notice What a requester signs to release a provider (EIP-712).
    function releaseDigest(bytes32 id) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(RELEASE_TYPEHASH, id)));
    }

    function _open(bytes32 id) private view returns (Challenge memory open) {
        open = _challenges[id];
        if (open.status != Status.Challenged) revert WrongStatus(open.status);
    }

    function _finish(bytes32 id) private {
        delete _challenges[id];
        _challenges[id].status = Status.Done;
    }

    function _checkSigner(bytes32 digest, bytes calldata signature, address signer) private pure {
        address recovered = ECDSA.recoverCalldata(digest, signature);
        if (recovered != signer) revert WrongSigner(recovered, signer);
    }
}
