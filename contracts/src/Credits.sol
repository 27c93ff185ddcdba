// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

/// @title Pull payments: money that is owed waits as a credit until its owner withdraws it.
/// @notice Nothing here ever sends money to an account on someone else's call, so no receiver can stop another's claim, and the only
/// calls to foreign code are those of a deposit and of a withdrawal.
/// @dev The native coin is token zero. Each token's money is kept apart: a token that lies about balances harms its own users only.
abstract contract Credits is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice What an account can withdraw of a token, in the token's smallest unit.
    mapping(address token => mapping(address account => uint256 amount)) public credit;

    /// @notice An account withdrew from its credit.
    event Withdrawn(address indexed account, address indexed token, address indexed to, uint256 amount);

    /// @notice An amount of zero would change nothing.
    error ZeroAmount();
    /// @notice The account's credit is smaller than the amount to withdraw.
    error CreditTooSmall(address token, uint256 creditHeld, uint256 amount);
    /// @notice The call carries another value than the amount that it names: all of it for the native coin, none for a token.
    error WrongValue(uint256 sent, uint256 expected);
    /// @notice The token moved another amount than asked for, as fee-on-transfer tokens do. Such tokens are not served.
    error WrongTokenAmount(address token, uint256 moved, uint256 expected);
    /// @notice The receiver is zero, which would destroy the money, or this contract.
    error InvalidReceiver(address to);
    /// @notice The receiver refused the native coin.
    error ReceiverRefused(address to, uint256 amount);

    /// @notice Sends a part of the caller's credit. Leaving one unit behind keeps the storage slot in use, which makes the next credit
    /// cheaper by 17,100 gas.
    /// @param token the token; zero for the native coin
    /// @param to the receiver, which may be another account than the caller
    /// @param amount at most the caller's credit
    function withdraw(address token, address to, uint256 amount) external nonReentrant {
        if (amount == 0) revert ZeroAmount();
        if (to == address(0) || to == address(this)) revert InvalidReceiver(to);
        uint256 held = credit[token][msg.sender];
        if (amount > held) revert CreditTooSmall(token, held, amount);
        credit[token][msg.sender] = held - amount;
        emit Withdrawn(msg.sender, token, to, amount);
        if (token == address(0)) {
            (bool accepted,) = to.call{value: amount}("");
            if (!accepted) revert ReceiverRefused(to, amount);
        } else {
            uint256 before = IERC20(token).balanceOf(address(this));
            IERC20(token).safeTransfer(to, amount);
            // A token that takes more than was sent would spend what belongs to others.
            uint256 moved = before - IERC20(token).balanceOf(address(this));
            if (moved != amount) revert WrongTokenAmount(token, moved, amount);
        }
    }

    /// @dev Takes a deposit from the caller and makes sure that all of it arrived. The caller of this function holds the re-entrancy
    /// guard and has written its state: a token may call back from here.
    function _take(address token, uint256 amount) internal {
        if (token == address(0)) {
            if (msg.value != amount) revert WrongValue(msg.value, amount);
            return;
        }
        if (msg.value != 0) revert WrongValue(msg.value, 0);
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        uint256 moved = IERC20(token).balanceOf(address(this)) - before;
        if (moved != amount) revert WrongTokenAmount(token, moved, amount);
    }
}
