/** Loops of one's own on wasm that await nothing but their steps, which leaves promises of the engine's unresolved. */
import {execFileSync} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import type {MeasureGroup} from './group';
import {compile} from '../harness/compile';
import {median} from '../harness/statistics';
import {shapeOf} from '../harness/workload';

/** Steps of a turn, each turn in a process of its own: the first step is the one that counts here. */
const steps = {loop: 4, fit: 4, stock: 1};
type Kind = keyof typeof steps;

export const measure: MeasureGroup = async ({tiny, rounds = 3}) => {
  const shape = JSON.stringify(shapeOf({tiny}));
  const script = await compile(
    fileURLToPath(new URL('../contenders/loop_contender.ts', import.meta.url)),
  );
  const times: Record<Kind, number[]> = {loop: [], fit: [], stock: []};
  for (let round = 0; round < rounds; round++) {
    for (const kind of ['loop', 'fit', 'stock'] as const) {
      const out = execFileSync(process.execPath, [script, kind, String(steps[kind]), shape]);
      times[kind].push(...(JSON.parse(out.toString()) as number[]));
    }
  }
  const [loop, fit, stock] = [median(times.loop), median(times.fit), median(times.stock)];
  return {
    figures: [
      {
        name: "W1 composed of tfjs's ops on wasm, a loop that never yields: speed, against stock tfjs",
        ...{value: stock / loop, unit: 'times'},
      },
      {
        name: 'the same: time of a step, against the steps of fit',
        ...{value: loop / fit, unit: 'times', goal: {atMost: 1.1}},
      },
    ],
    measured: {milliseconds: times},
  };
};
