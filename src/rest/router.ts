import type { Result, Router } from "hono/router";
import { TrieRouter } from "hono/router/trie-router";

/**
 * Hono's trie router, which remembers what it found for paths without parameters: their answer never changes, and the busiest
 * route (`POST /task`) is one. Hono's faster router cannot hold `/v1/tasks/run` beside `/v1/tasks/:id/cancel`.
 */
export class StaticFirstRouter<T> implements Router<T> {
  name = "StaticFirstRouter";
  readonly #router = new TrieRouter<T>();
  readonly #staticPaths = new Set<string>();
  readonly #found = new Map<string, Result<T>>();

  add(method: string, path: string, handler: T): void {
    this.#router.add(method, path, handler);
    if (!/[:*]/.test(path)) this.#staticPaths.add(path);
    this.#found.clear();
  }

  match(method: string, path: string): Result<T> {
    if (!this.#staticPaths.has(path)) return this.#router.match(method, path);
    const key = `${method} ${path}`;
    let result = this.#found.get(key);
    if (result === undefined) {
      result = this.#router.match(method, path);
      // Methods are the client's to choose; only known ones are worth remembering.
      if (KNOWN_METHODS.has(method)) this.#found.set(key, result);
    }
    return result;
  }
}

const KNOWN_METHODS: ReadonlySet<string> = new Set(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
