import {expect} from 'chai';
import {backends, thorough} from '../support/backends';
import {runProgram} from '../support/programs';
import type {SignalRun} from './kernels_under_signals';

/** With what in the environment; oneDNN computes otherwise on processors without AVX-512. */
const runs = [
  ['wasm', {}],
  ['tensorflow', {}],
  ['tensorflow', {ONEDNN_MAX_CPU_ISA: 'AVX2'}],
] as const;

/** The program goes on until so many were handled. */
const SIGNALS = 1000;

for (const [backend, limits] of runs) {
  const name = ['kernels on', backend, ...Object.values(limits)].join(' ');
  (thorough && backends.includes(backend) ? describe : describe.skip)(name, function () {
    this.timeout(180_000);

    it('run while signals are handled', async () => {
      const {stdout, stderr, code, signal} = await runProgram(
        'test/kernels/kernels_under_signals',
        [backend, '2', String(SIGNALS)],
        {env: {...limits, TF_CPP_MIN_LOG_LEVEL: '2'}},
      );
      expect({code, signal}, stderr.slice(-1000)).to.deep.equal({code: 0, signal: null});
      const {runs, signals} = JSON.parse(stdout.trim().split('\n').at(-1)!) as SignalRun;
      expect(signals).to.be.at.least(SIGNALS);
      expect(Object.keys(runs)).to.include.members(['BatchMatMul', 'OwLoreAdam']);
      for (const [name, count] of Object.entries(runs)) expect(count, name).to.be.greaterThan(40);
    });
  });
}
