#!/usr/bin/env node
import { runMain } from "./cli/mod.ts";
import { keepTimersFiring } from "./core/mod.ts";

keepTimersFiring();
runMain();
