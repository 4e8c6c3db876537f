import {createInterface} from 'node:readline';
import type {Reply, Request} from './protocol';

/** A training that does a step when it is asked to. */
export interface Steps {
  /** Number of weights, and the versions of what does the work. */
  about: {parameters: number; versions: Record<string, string>};
  /** One step; its loss. */
  step(): Promise<number>;
  /** Bytes, as far as they can be told. */
  memory(): {wasm?: number; tensors?: number};
}

/**
 * Answers the requests that come by standard input, until it ends. Between two of them the process waits, and so leaves the
 * machine to others.
 *
 * @param create Makes the training, or says what this machine lacks for it.
 */
export async function serveSteps(create: () => Promise<Steps | {needs: string}>): Promise<void> {
  // Standard output is for replies, and libraries write to it by these functions.
  console.log = console.info = console.error;
  const reply = (line: Reply): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
  const steps = await create();
  if ('needs' in steps) {
    reply({kind: 'absent', ...steps});
    return;
  }
  // Garbage of the preparation is no part of the training's memory.
  globalThis.gc?.();
  reply({kind: 'ready', ...steps.about});
  for await (const line of createInterface({input: process.stdin})) {
    switch (JSON.parse(line) as Request) {
      case 'step': {
        const start = performance.now();
        const loss = await steps.step();
        reply({kind: 'step', loss, milliseconds: performance.now() - start});
        break;
      }
      case 'memory':
        reply({kind: 'memory', ...steps.memory()});
    }
  }
}
