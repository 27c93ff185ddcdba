#!/usr/bin/env node
import { runMain } from "./cli/mod.ts";

runMain();
