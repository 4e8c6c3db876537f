import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {text} from 'node:stream/consumers';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {backends} from '../support/backends';
import type {SignalRun} from './kernels_under_signals';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** With what in the environment; oneDNN computes otherwise on processors without AVX-512. */
const runs = [
  ['wasm', {}],
  ['tensorflow', {}],
  ['tensorflow', {ONEDNN_MAX_CPU_ISA: 'AVX2'}],
] as const;

for (const [backend, limits] of runs) {
  const name = ['kernels on', backend, ...Object.values(limits)].join(' ');
  (backends.includes(backend) ? describe : describe.skip)(name, function () {
    this.timeout(180_000);

    it('run while signals are handled', async () => {
      const args = ['--import', 'tsx', 'test/kernels/kernels_under_signals.ts', backend, '2'];
      // Coverage counts what the tests themselves run.
      const env = {...process.env, ...limits, NODE_V8_COVERAGE: '', TF_CPP_MIN_LOG_LEVEL: '2'};
      const child = spawn(process.execPath, args, {cwd: root, env});
      const [stdout, stderr, [code, signal]] = await Promise.all([
        text(child.stdout),
        text(child.stderr),
        once(child, 'exit') as Promise<[number | null, string | null]>,
      ]);
      expect({code, signal}, stderr.slice(-1000)).to.deep.equal({code: 0, signal: null});
      const {runs, signals} = JSON.parse(stdout.trim().split('\n').at(-1)!) as SignalRun;
      expect(signals).to.be.greaterThan(1000);
      expect(Object.keys(runs)).to.include.members(['BatchMatMul', 'OwLoreAdam']);
      for (const [name, count] of Object.entries(runs)) expect(count, name).to.be.greaterThan(40);
    });
  });
}
