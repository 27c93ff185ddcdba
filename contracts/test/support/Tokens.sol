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

/// @dev Calls itself what it is told to.
contract NamedToken is Token {
    string private _name;
    uint8 private _digits;

    function tell(string calldata symbol_, uint8 decimals_) external {
        (_name, _digits) = (symbol_, decimals_);
    }

    function symbol() public view override returns (string memory) {
        return _name;
    }

    function decimals() public view override returns (uint8) {
        return _digits;
    }
}

/// @dev Answers each function with the bytes that it is told to, or reverts with them.
contract AnsweringToken {
    mapping(bytes4 => bytes) private _answers;
    mapping(bytes4 => bool) private _reverts;

    function answer(bytes4 selector, bytes calldata data, bool reverting) external {
        (_answers[selector], _reverts[selector]) = (data, reverting);
    }

    fallback() external {
        bytes memory data = _answers[msg.sig];
        bool reverting = _reverts[msg.sig];
        assembly ("memory-safe") {
            if reverting { revert(add(data, 32), mload(data)) }
            return(add(data, 32), mload(data))
        }
    }
}
