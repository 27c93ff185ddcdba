// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Credits} from "../../src/Credits.sol";

/// @dev Refuses the native coin.
contract RefusingReceiver {
    function withdraw(Credits from, address to, uint256 amount) external {
        from.withdraw(address(0), to, amount);
    }
}

/// @dev Calls somebody back when it is paid, and remembers what came of it.
contract CallbackReceiver {
    address public target;
    bytes public data;
    bool public called;
    bool public succeeded;

    function callBack(address target_, bytes calldata data_) external {
        (target, data, called) = (target_, data_, false);
    }

    /// @dev Makes a call as this contract.
    function act(address to, uint256 value, bytes calldata call) external returns (bytes memory) {
        (bool ok, bytes memory answer) = to.call{value: value}(call);
        require(ok, "the call failed");
        return answer;
    }

    receive() external payable {
        if (target == address(0) || called) return;
        called = true;
        (succeeded,) = target.call(data);
    }
}
