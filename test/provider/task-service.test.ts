import { taskServiceContract } from "../contract-suites/task-service.ts";

taskServiceContract("the provider", (local) => Promise.resolve({ service: local, close: () => Promise.resolve() }));
