import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {OwLoreAdam} from '../../src/kernels/kernel_names';
import {backends, type BackendName, thorough} from '../support/backends';
import {runProgram} from '../support/programs';
import type {TrainingLoop} from './training_loop';

/** Runs `training_loop.ts`. */
async function train(
  backend: BackendName,
  steps: number,
  ...others: string[]
): Promise<TrainingLoop> {
  const {stdout, stderr} = await runProgram(
    'test/kernels/training_loop',
    [backend, String(steps), ...others],
    {env: {TF_CPP_MIN_LOG_LEVEL: '2'}},
  );
  expect(stdout, stderr.slice(-1000)).to.include('{"losses"');
  return JSON.parse(stdout.slice(stdout.indexOf('{"losses"'))) as TrainingLoop;
}

for (const backend of ['wasm', 'tensorflow'] as const) {
  (backends.includes(backend) ? describe : describe.skip)(
    `kernels: 'auto' in a process of its own [${backend}]`,
    function () {
      this.timeout(120_000);
      let folder: string;
      before(() => void (folder = mkdtempSync(join(tmpdir(), 'tfjs-owlore-test-'))));
      after(() => rmSync(folder, {recursive: true, force: true}));

      it('runs them from the first step on, in a loop that awaits nothing but steps', async () => {
        const {kernels, turned} = await train(backend, 3, 'awaits');
        if (backend === 'wasm') expect(turned, 'whether the event loop turned').to.equal(false);
        for (const stepKernels of kernels) {
          expect(Object.keys(stepKernels)).to.include(OwLoreAdam); // all that a backend has are installed together
          // The first step makes the bases, the others do what the second does.
          if (stepKernels !== kernels[0]) expect(stepKernels).to.deep.equal(kernels[1]);
        }
      });

      // On tensorflow a kernel that has come often runs as a graph, which rounds differently.
      if (backend === 'tensorflow' || !thorough) return;

      it('resumes to the very same weights', async () => {
        const file = join(folder, 'state.json');
        const [whole, first] = await Promise.all([
          train(backend, 6, 'yields'),
          train(backend, 3, 'yields', '', file),
        ]);
        const second = await train(backend, 3, 'yields', file);
        expect([...first.losses, ...second.losses]).to.deep.equal(whole.losses);
        expect(second.weights).to.equal(whole.weights);
      });
    },
  );
}
