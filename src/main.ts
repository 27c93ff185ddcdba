#!/usr/bin/env node
import { runMain } from "./cli/mod.ts";
import { keepTicksFast, keepTimersFiring } from "./core/mod.ts";

keepTicksFast();
keepTimersFiring();
runMain();
