// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @dev A token as the standard wants it. The others differ from it in the one way that their names tell.
contract Token is ERC20("Token", "TOK") {
    function mint(address account, uint256 amount) external {
        _mint(account, amount);
    }
}

/// @dev Answers nothing where the standard wants `true`, as USDT does.
contract NoAnswerToken is Token {
    function transfer(address to, uint256 amount) public override returns (bool) {
        _transfer(msg.sender, to, amount);
        assembly ("memory-safe") {
            return(0, 0)
        }
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        _spendAllowance(from, msg.sender, amount);
        _transfer(from, to, amount);
        assembly ("memory-safe") {
            return(0, 0)
        }
    }
}

/// @dev Answers `false` and moves nothing where the standard would revert, once it is told to fail.
contract FalseToken is Token {
    bool public failing;

    function fail(bool on) external {
        failing = on;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return !failing && super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        return !failing && super.transferFrom(from, to, amount);
    }
}

/// @dev Answers `true` and moves nothing.
contract LyingToken is Token {
    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return true;
    }
}

/// @dev Keeps a hundredth of each transfer, taken from what the receiver gets or, when told so, added to what the sender pays.
contract FeeToken is Token {
    bool public senderPays;
    bool public free;

    function set(bool senderPays_, bool free_) external {
        (senderPays, free) = (senderPays_, free_);
    }

    function _update(address from, address to, uint256 amount) internal override {
        uint256 fee = free || from == address(0) || to == address(0) ? 0 : amount / 100;
        if (fee > 0) super._update(from, address(0xfee), fee);
        super._update(from, to, senderPays ? amount : amount - fee);
    }
}

/// @dev Calls somebody back in each transfer, as ERC-777 tokens do.
contract CallbackToken is Token {
    address public target;
    bytes public data;
    bool public called;
    bool public succeeded;

    function callBack(address target_, bytes calldata data_) external {
        (target, data, called) = (target_, data_, false);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (target == address(0) || called) return;
        called = true;
        (succeeded,) = target.call(data);
    }
}
