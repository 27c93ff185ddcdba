// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title The Merkle tree over a shard's bytes, as docs/formats.md defines it.
/// @dev A leaf's digest is SHA-256(prefix ‖ 1 KiB); the prefix is 64 bytes: the tag, zeros, and the leaf's index as eight big-endian bytes. A
/// node's is SHA-256(left ‖ right). Neighbours are paired level by level, and a node without a right neighbour moves up unchanged. Index and
/// leaf count fix the shape of the path, so a proof can be neither stretched nor moved, and a node can never pass for a leaf.
library ShardTree {
    /// @notice Bytes of a leaf.
    uint256 internal constant LEAF_BYTES = 1024;
    /// @notice The most leaves that a tree may have: 16 TiB.
    uint64 internal constant MAX_LEAVES = 1 << 34;
    /// @dev "velas-sphere/1 leaf" and zeros.
    bytes32 private constant TAG = "velas-sphere/1 leaf";

    /// @notice Whether a leaf is the one at `index` of the tree with this root and leaf count.
    /// @param path the neighbours from the leaf up, without those that are missing at the tree's right edge
    function verify(bytes32 root, uint64 leafCount, uint64 index, bytes calldata leaf, bytes32[] calldata path)
        internal
        pure
        returns (bool)
    {
        if (leaf.length != LEAF_BYTES || index >= leafCount || leafCount > MAX_LEAVES) return false;
        bytes32 digest = leafDigest(index, leaf);
        uint256 used = 0;
        for (uint64 width = leafCount; width > 1; width = (width + 1) / 2) {
            if (index % 2 == 1 || index + 1 < width) {
                if (used == path.length) return false;
                bytes32 neighbour = path[used++];
                digest = index % 2 == 1
                    ? sha256(abi.encodePacked(neighbour, digest))
                    : sha256(abi.encodePacked(digest, neighbour));
            }
            index /= 2;
        }
        return used == path.length && digest == root;
    }

    /// @notice The digest of the leaf with this index.
    function leafDigest(uint64 index, bytes calldata leaf) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(TAG, bytes24(0), index, leaf));
    }
}
