/**
 * Ops of tfjs on wasm whose copies are done in JavaScript, or might be, on a memory of one thread's own and on one that threads share, which
 * JavaScript reads and writes more slowly. In turns, an op after the other.
 */
import {spawn} from 'node:child_process';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {compile} from '../harness/compile';
import {median} from '../harness/statistics';
import type {Figure} from '../results/figure';
import type {MeasureGroup} from './group';

/** The measurements of the group: medians of a call. */
export interface CopyMeasurements {
  rounds: number;
  /** By what the op does, and the rows and columns of its matrix. */
  copies: Record<string, {own: number; shared: number}>;
}

/** As fast as before: two runs of the same differ by so much. */
const AS_FAST = {atMost: 1.05};

export const measure: MeasureGroup = async ({tiny, rounds = 9}) => {
  const script = await compile(
    fileURLToPath(new URL('../contenders/copies_contender.ts', import.meta.url)),
  );
  const copies: CopyMeasurements['copies'] = {};
  const figures: Figure[] = [];
  for (const size of tiny ? [64] : [1024, 64]) {
    const sides = {own: await start(script, size, 1), shared: await start(script, size, 2)};
    const ratios: number[] = [];
    for (const name of sides.own.names) {
      const times = {own: [] as number[], shared: [] as number[]};
      for (let round = -1; round < rounds; round++) {
        for (const side of ['own', 'shared'] as const) {
          const time = await sides[side].timeOf(name);
          if (round >= 0) times[side].push(time);
        }
      }
      const [own, shared] = [median(times.own), median(times.shared)];
      copies[`${name}, ${size} × ${size}`] = {own, shared};
      ratios.push(shared / own);
    }
    for (const {end} of Object.values(sides)) end();
    figures.push(
      {
        name: `Ops that copy, ${size} × ${size}, on shared memory: the largest time, against memory of its own`,
        ...{value: Math.max(...ratios), unit: 'times', goal: AS_FAST},
      },
      {
        name: `Ops that copy, ${size} × ${size}, on shared memory: how many are slower`,
        ...{value: ratios.filter((ratio) => ratio > AS_FAST.atMost).length, unit: 'count'},
      },
    );
  }
  const measured: CopyMeasurements = {rounds, copies};
  return {figures, measured};
};

interface Side {
  names: string[];
  /** Milliseconds of a call. */
  timeOf(name: string): Promise<number>;
  end(): void;
}

async function start(script: string, size: number, threads: number): Promise<Side> {
  const child = spawn(process.execPath, [script, String(size)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {...process.env, OWLORE_THREADS: String(threads)},
  });
  const lines = createInterface({input: child.stdout})[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    const line = await lines.next();
    if (line.done) throw new Error('the process that runs ops has ended');
    return JSON.parse(line.value);
  };
  return {
    names: (await next()) as string[],
    async timeOf(name) {
      child.stdin.write(`${name}\n`);
      return (await next()) as number;
    },
    end: () => void child.kill(),
  };
}
