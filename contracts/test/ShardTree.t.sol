// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ShardTree} from "../src/ShardTree.sol";
import {Test} from "./support/Test.sol";
import {Trees} from "./support/Trees.sol";

/// @dev The library's functions, callable with calldata.
contract Verifier {
    function verify(bytes32 root, uint64 leafCount, uint64 index, bytes calldata leaf, bytes32[] calldata path)
        external
        pure
        returns (bool)
    {
        return ShardTree.verify(root, leafCount, index, leaf, path);
    }

    function leafDigest(uint64 index, bytes calldata leaf) external pure returns (bytes32) {
        return ShardTree.leafDigest(index, leaf);
    }
}

contract ShardTreeTest is Test {
    Verifier private verifier = new Verifier();

    function test_EveryLeafOfEverySmallTreeIsProven() external view {
        for (uint64 leafCount = 1; leafCount <= 17; leafCount++) {
            for (uint64 index = 0; index < leafCount; index++) {
                (bytes32 root, bytes32[] memory path) = Trees.build(1, leafCount, index);
                assertTrue(verifier.verify(root, leafCount, index, Trees.leaf(1, index), path), "the leaf");
            }
        }
    }

    function test_OneLeafIsItsOwnTree() external view {
        (bytes32 root, bytes32[] memory path) = Trees.build(1, 1, 0);
        assertEq(path.length, 0, "path");
        assertEq(root, Trees.leafDigest(0, Trees.leaf(1, 0)), "root");
        assertTrue(!verifier.verify(root, 0, 0, Trees.leaf(1, 0), path), "an empty tree has no leaf");
    }

    function test_ALeafHasOnePlace() external view {
        for (uint64 leafCount = 2; leafCount <= 9; leafCount++) {
            for (uint64 index = 0; index < leafCount; index++) {
                (bytes32 root, bytes32[] memory path) = Trees.build(1, leafCount, index);
                bytes memory leaf = Trees.leaf(1, index);
                for (uint64 other = 0; other <= leafCount; other++) {
                    if (other == index) continue;
                    assertTrue(!verifier.verify(root, leafCount, other, leaf, path), "another place");
                }
            }
        }
    }

    function test_APathHasOneLength() external view {
        (bytes32 root, bytes32[] memory path) = Trees.build(1, 7, 3);
        bytes memory leaf = Trees.leaf(1, 3);
        bytes32[] memory shorter = new bytes32[](path.length - 1);
        bytes32[] memory longer = new bytes32[](path.length + 1);
        for (uint256 i = 0; i < path.length; i++) {
            longer[i] = path[i];
            if (i < shorter.length) shorter[i] = path[i];
        }
        assertTrue(verifier.verify(root, 7, 3, leaf, path), "right");
        assertTrue(!verifier.verify(root, 7, 3, leaf, shorter), "shorter");
        assertTrue(!verifier.verify(root, 7, 3, leaf, longer), "longer");
        assertTrue(!verifier.verify(root, 7, 3, leaf, new bytes32[](0)), "none");
    }

    function test_ALeafHasOneLength() external view {
        (bytes32 root, bytes32[] memory path) = Trees.build(1, 4, 0);
        uint256[4] memory lengths = [uint256(0), 1023, 1025, 2048];
        for (uint256 i = 0; i < lengths.length; i++) {
            assertTrue(!verifier.verify(root, 4, 0, new bytes(lengths[i]), path), "length");
        }
    }

    function test_ANodeDoesNotPassForALeaf() external view {
        // The tree over two leaves, said to have one leaf that is their two digests.
        (bytes32 root,) = Trees.build(1, 2, 0);
        bytes memory pair = bytes.concat(Trees.leafDigest(0, Trees.leaf(1, 0)), Trees.leafDigest(1, Trees.leaf(1, 1)));
        assertTrue(!verifier.verify(root, 1, 0, pair, new bytes32[](0)), "64 bytes");
    }

    function testFuzz_NoChangedByteIsProven(uint64 leafCount, uint64 index, uint256 salt) external view {
        leafCount = uint64(bound(leafCount, 1, 40));
        index = uint64(bound(index, 0, leafCount - 1));
        (bytes32 root, bytes32[] memory path) = Trees.build(salt, leafCount, index);
        bytes memory leaf = Trees.leaf(salt, index);
        assertTrue(verifier.verify(root, leafCount, index, leaf, path), "right");

        uint256 place = salt % 1024;
        leaf[place] = bytes1(uint8(leaf[place]) ^ uint8(1 + salt % 255));
        assertTrue(!verifier.verify(root, leafCount, index, leaf, path), "changed leaf");
        leaf = Trees.leaf(salt, index);
        if (path.length == 0) return;
        path[salt % path.length] ^= bytes32(uint256(1) << (salt % 256));
        assertTrue(!verifier.verify(root, leafCount, index, leaf, path), "changed path");
    }

    function testFuzz_StrangeCountsAndPlacesAreRefusedQuietly(
        uint64 leafCount,
        uint64 index,
        bytes32 root,
        bytes32[] calldata path
    ) external view {
        assertTrue(!verifier.verify(root, leafCount, index, new bytes(1024), path), "no proof");
    }

    /// @dev The vectors that src/codec/ is held to as well: no other reading of docs/formats.md can slip in on either side.
    function test_TheProofsOfTheVectorsAreProven() external view {
        string memory json = vm.readFile("test/vectors/codec/tree.json");
        uint256 proven = 0;
        for (uint256 i = 0; i < 14; i++) {
            string memory one = string.concat(".cases[", vm.toString(i), "]");
            uint64 leafCount = uint64(vm.parseJsonUint(json, string.concat(one, ".leafCount")));
            bytes32 root = bytes32(unhex(json, string.concat(one, ".root")));
            for (uint256 j = 0; vm.keyExistsJson(json, string.concat(one, ".proofs[", vm.toString(j), "]")); j++) {
                string memory proof = string.concat(one, ".proofs[", vm.toString(j), "]");
                uint64 first = uint64(vm.parseJsonUint(json, string.concat(proof, ".first")));
                if (vm.parseJsonUint(json, string.concat(proof, ".end")) != first + 1) continue;
                bytes32[] memory path = digests(unhex(json, string.concat(proof, ".proof")));
                bytes memory leaf = testBytes("tree", uint32(first) * 32);
                assertTrue(verifier.verify(root, leafCount, first, leaf, path), proof);
                proven++;
            }
        }
        assertTrue(proven > 30, "there are proofs of single leaves");
    }

    function test_TheDigestsOfFarLeavesAreThoseOfTheVectors() external view {
        string memory json = vm.readFile("test/vectors/codec/tree.json");
        for (uint256 i = 0; i < 5; i++) {
            string memory one = string.concat(".farLeaves.digests[", vm.toString(i), "]");
            uint64 index = uint64(vm.parseJsonUint(json, string.concat(one, ".index")));
            bytes32 digest = bytes32(unhex(json, string.concat(one, ".digest")));
            assertEq(verifier.leafDigest(index, testBytes("far leaf", 0)), digest, "digest");
        }
    }

    /// @dev 1 KiB of the vectors' test bytes: SHA-256(label ‖ number) for consecutive numbers.
    function testBytes(string memory label, uint32 firstNumber) private pure returns (bytes memory bytes_) {
        for (uint32 number = firstNumber; number < firstNumber + 32; number++) {
            bytes_ = bytes.concat(bytes_, sha256(abi.encodePacked(label, number)));
        }
    }

    function unhex(string memory json, string memory key) private pure returns (bytes memory) {
        return vm.parseBytes(string.concat("0x", vm.parseJsonString(json, key)));
    }

    function digests(bytes memory joined) private pure returns (bytes32[] memory each) {
        each = new bytes32[](joined.length / 32);
        for (uint256 i = 0; i < each.length; i++) {
            bytes32 digest;
            assembly ("memory-safe") {
                digest := mload(add(add(joined, 32), mul(i, 32)))
            }
            each[i] = digest;
        }
    }
}
