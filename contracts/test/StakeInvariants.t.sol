// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {StakeHandler} from "./support/StakeHandler.sol";
import {Test} from "./support/Test.sol";

contract StakeInvariantsTest is Test {
    StakeHandler private handler;

    function setUp() external {
        handler = new StakeHandler();
    }

    /// @dev forge calls only the handler's functions that change something, in random order.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](12);
        selectors[0] = StakeHandler.stake.selector;
        selectors[1] = StakeHandler.register.selector;
        selectors[2] = StakeHandler.pledge.selector;
        selectors[3] = StakeHandler.startUnbonding.selector;
        selectors[4] = StakeHandler.finishUnbonding.selector;
        selectors[5] = StakeHandler.challenge.selector;
        selectors[6] = StakeHandler.answer.selector;
        selectors[7] = StakeHandler.release.selector;
        selectors[8] = StakeHandler.timeout.selector;
        selectors[9] = StakeHandler.withdraw.selector;
        selectors[10] = StakeHandler.trespass.selector;
        selectors[11] = StakeHandler.wait.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_TheBooksBalance() external view {
        handler.check();
    }
}
