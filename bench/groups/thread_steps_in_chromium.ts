/** Steps of the reference workload in chromium, on a page's main thread and in a worker, on one thread and on two; jax-js in a page. */
import {inChromium, jaxInChromium} from '../contenders/contenders';
import {withStartPoint} from '../contenders/start_point';
import {runInterleaved} from '../harness/run';
import {shapeOf} from '../harness/workload';
import type {MeasureGroup} from './group';
import {besideScaling} from './scaling_figures';
import {checkLosses, checkStart, compare} from './step_figures';

/** How much of what two processes get two threads are to get. */
const PART = 0.88;

export const measure: MeasureGroup = ({tiny, rounds = 3}) => {
  const shape = shapeOf({tiny});
  const turns = {warmUp: tiny ? 1 : 3, steps: 3};
  return withStartPoint(shape, async (startPoint) => {
    const contender = (inWorker: boolean, threads: number) => {
      const title = `${inWorker ? 'in a worker' : "a page's main thread"}, ${threads} thread${threads > 1 ? 's' : ''}`;
      return inChromium(title, {shape, threads, inWorker}, turns);
    };
    const contenders = {
      page: await contender(false, 1),
      page2: await contender(false, 2),
      worker: await contender(true, 1),
      worker2: await contender(true, 2),
      jax: await jaxInChromium('jax-js in a page, its workers', shape, startPoint, turns),
    };
    const {
      scaling,
      machine,
      result: run,
    } = await besideScaling('chromium', {tiny, rounds}, () => runInterleaved(contenders, rounds));
    checkStart(run);
    checkLosses(run, ['page', 'page2', 'worker', 'worker2', 'jax']);
    const found = compare(run, rounds, [
      {
        name: "W1 step in chromium, a page's main thread: speed of two threads, against one",
        ...({above: 'page', below: 'page2'} as const),
        goal: {atLeast: PART * scaling.products},
      },
      {
        name: 'W1 step in chromium, in a worker: speed of two threads, against one',
        ...({above: 'worker', below: 'worker2'} as const),
        goal: {atLeast: PART * scaling.products},
      },
      {
        name: "W1 step in chromium, a page's main thread: speed of two threads, against jax-js with its workers",
        ...({above: 'jax', below: 'page2'} as const),
      },
    ]);
    return {...found, figures: [...machine, ...found.figures]};
  });
};
