/** The program with a fault that SIGUSR2 sets off: an exception or a rejection that nothing catches, thrice. */
import process from "node:process";
import { runMain } from "../../src/cli/mod.ts";

process.on("SIGUSR2", () => {
  for (let i = 0; i < 3; i++) {
    setTimeout(() => {
      if (process.env["FAULT"] === "reject") Promise.reject(new Error("boom"));
      else throw new Error("boom");
    });
  }
});
runMain();
