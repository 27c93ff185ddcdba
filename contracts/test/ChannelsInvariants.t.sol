// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ChannelsHandler} from "./support/ChannelsHandler.sol";
import {Test} from "./support/Test.sol";

contract ChannelsInvariantsTest is Test {
    ChannelsHandler private handler;

    function setUp() external {
        handler = new ChannelsHandler();
    }

    /// @dev forge calls only the handler's functions that change something, in random order.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](11);
        selectors[0] = ChannelsHandler.open.selector;
        selectors[1] = ChannelsHandler.topUp.selector;
        selectors[2] = ChannelsHandler.claim.selector;
        selectors[3] = ChannelsHandler.claimMany.selector;
        selectors[4] = ChannelsHandler.close.selector;
        selectors[5] = ChannelsHandler.startExit.selector;
        selectors[6] = ChannelsHandler.finishExit.selector;
        selectors[7] = ChannelsHandler.withdraw.selector;
        selectors[8] = ChannelsHandler.trespass.selector;
        selectors[9] = ChannelsHandler.give.selector;
        selectors[10] = ChannelsHandler.wait.selector;
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
