import assert from "node:assert/strict";
import { csvCell, PAYMENT_TABLES } from "../../src/core/mod.ts";
import { test } from "../testing.ts";

test("a cell of CSV is quoted where it must be, and never a formula", () => {
  const cells: readonly (readonly [unknown, string])[] = [
    [undefined, ""],
    ["", ""],
    [0, "0"],
    [-1.5, "-1.5"],
    ["-15", "-15"],
    ["2027-01-15", "2027-01-15"],
    ["a b", "a b"],
    ["=1+1", "'=1+1"],
    ["+1", "'+1"],
    ["-1+1", "'-1+1"],
    ["@A1", "'@A1"],
    [" =1", "' =1"],
    ["\t=1", "'\t=1"],
    ["\r", `"'\r"`],
    ["a\nb", `"a\nb"`],
    ["a,b", `"a,b"`],
    [`"`, `""""`],
    [`=","`, `"'="",""`.concat(`"`)],
  ];
  for (const [value, cell] of cells) assert.equal(csvCell(value), cell, JSON.stringify(value));
});

test("a statement's line tells how its challenge stands", () => {
  const { columns, rows } = PAYMENT_TABLES.custody;
  const [plain, open] = rows([
    { id: "0x1", lost: false },
    { id: "0x2", lost: true, challenge: { state: "open", deadline: "2027-02-15T08:00:00.000Z", at: "x" } },
  ]);
  assert.deepEqual(plain, { id: "0x1", lost: false });
  assert.deepEqual(open, { id: "0x2", lost: true, challenge: "open", answerBy: "2027-02-15T08:00:00.000Z" });
  assert.deepEqual(columns.slice(-2), ["challenge", "answerBy"]);
});
