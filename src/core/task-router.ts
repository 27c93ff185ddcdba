import type { PeerWish } from "./peer.ts";
import type { TaskService } from "./task.ts";
import type { VerifiedRunner, VerifyWish } from "./verification.ts";

/** Begins tasks. */
export type TaskStarter = Pick<TaskService, "run" | "runStream" | "submit">;

/** Finds the task service of a target. The requester role is one; REST and the CLI go through it. */
export interface TaskRouter {
  /**
   * The service at `host:port` or `dns:///host:port`; an empty target means this node, which also knows the tasks that it
   * sent elsewhere. Throws `invalid_argument` when the target cannot be read.
   */
  at(target: string): TaskService;
  /**
   * Begins tasks at the provider that fits best, whoever that is: chosen for each task by its plugin and limits, the wish, and this node's
   * experience. Its methods throw `no_peer_fits` when none does. Absent where no peers are known.
   */
  any?(wish: PeerWish): TaskStarter;
  /** Runs tasks at several providers and compares what they give. Throws `invalid_argument` for a wish that makes no sense. */
  verified?(wish: VerifyWish): VerifiedRunner;
}
