/**
 * What runs before an example, in its page or worker: seeds its random numbers, hears what it says, and counts the kernels that
 * tfjs runs for it.
 * Reports when the example says its losses, `loss 0.5 -> 0.1`, with which all of them end.
 */

import {createRandom} from '../../src/common/random';

/** What is sent to `/report`. */
export interface ExampleReport {
  backend: string;
  /** Whether wasm runs over memory that threads share. */
  isShared: boolean;
  /** The example's first and last loss. */
  losses: [first: number, last: number];
  /** All that it said by `console`, but for the losses. */
  said: string[];
  /** How often each of this library's kernels ran. */
  kernels: Record<string, number>;
}

/** What is used of the engine that tfjs-core keeps in a global variable. */
interface Engine {
  backendName: string;
  backend: {wasm?: {wasmMemory?: WebAssembly.Memory}};
  runKernel(name: string, ...rest: unknown[]): unknown;
}

// The same initial weights and batches in each run: a few of the others learn less in so short a training.
const random = createRandom(8);
Math.random = () => random.next();

const said: string[] = [];
const kernels: Record<string, number> = {};
let engine: Engine | undefined;

Object.defineProperty(globalThis, '_tfengine', {
  configurable: true,
  get: () => engine,
  set(made: Engine) {
    const {runKernel} = made;
    made.runKernel = function (name, ...rest) {
      if (name.startsWith('OwLore')) kernels[name] = (kernels[name] ?? 0) + 1;
      return runKernel.call(this, name, ...rest);
    };
    engine = made;
  },
});

for (const level of ['log', 'info', 'warn', 'error'] as const) {
  console[level] = (...args: unknown[]) => {
    const line = args.map(String).join(' ');
    const losses = /^loss (\S+) -> (\S+)$/.exec(line);
    if (losses) report([Number(losses[1]), Number(losses[2])]);
    else said.push(`${level}: ${line}`);
  };
}

addEventListener('error', ({message}: ErrorEvent) => fail(message));
addEventListener('unhandledrejection', ({reason}: PromiseRejectionEvent) =>
  fail(reason instanceof Error ? (reason.stack ?? reason.message) : String(reason)),
);

function fail(message: string): void {
  void send('/error', [message, ...said].join('\n'));
}

function report(losses: ExampleReport['losses']): void {
  const {backendName, backend} = engine!;
  const buffer = backend.wasm?.wasmMemory?.buffer;
  const isShared = buffer !== undefined && !(buffer instanceof ArrayBuffer);
  const found: ExampleReport = {backend: backendName, isShared, losses, said, kernels};
  void send('/report', found);
}

async function send(path: string, body: unknown): Promise<void> {
  await fetch(path, {method: 'POST', body: JSON.stringify(body)});
}
