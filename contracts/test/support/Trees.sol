// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @dev Shard trees as a provider builds them, written without a look at the library that checks them.
library Trees {
    /// @dev The bytes of leaf `index` of a shard of which `seed` tells one from another.
    function leaf(uint256 seed, uint64 index) internal pure returns (bytes memory bytes_) {
        bytes_ = new bytes(1024);
        for (uint256 word = 0; word < 32; word++) {
            bytes32 value = keccak256(abi.encode(seed, index, word));
            assembly ("memory-safe") {
                mstore(add(add(bytes_, 32), mul(word, 32)), value)
            }
        }
    }

    function leafDigest(uint64 index, bytes memory bytes_) internal pure returns (bytes32) {
        bytes memory prefix = new bytes(64);
        bytes memory tag = "velas-sphere/1 leaf";
        for (uint256 i = 0; i < tag.length; i++) {
            prefix[i] = tag[i];
        }
        for (uint256 i = 0; i < 8; i++) {
            prefix[63 - i] = bytes1(uint8(index >> (8 * i)));
        }
        return sha256(bytes.concat(prefix, bytes_));
    }

    /// @dev The root of the tree over some leaves, and the path of one of them.
    function build(uint256 seed, uint64 leafCount, uint64 index)
        internal
        pure
        returns (bytes32 root, bytes32[] memory path)
    {
        bytes32[] memory level = new bytes32[](leafCount);
        for (uint64 i = 0; i < leafCount; i++) {
            level[i] = leafDigest(i, leaf(seed, i));
        }
        bytes32[] memory found = new bytes32[](64);
        uint256 length = 0;
        uint256 place = index;
        while (level.length > 1) {
            uint256 neighbour = place ^ 1;
            if (neighbour < level.length) found[length++] = level[neighbour];
            bytes32[] memory above = new bytes32[]((level.length + 1) / 2);
            for (uint256 i = 0; i < above.length; i++) {
                above[i] =
                    2 * i + 1 < level.length ? sha256(bytes.concat(level[2 * i], level[2 * i + 1])) : level[2 * i];
            }
            level = above;
            place /= 2;
        }
        path = new bytes32[](length);
        for (uint256 i = 0; i < length; i++) {
            path[i] = found[i];
        }
        root = level[0];
    }
}
