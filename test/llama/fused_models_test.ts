/** Models with this library's kernels: which of them run for which architecture, and that the numbers are those of the reference. */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import * as fused from '../../src/kernels/llama/kernel_names';
import * as tensorflow from '../../src/kernels/tensorflow';
import * as wasm from '../../src/kernels/wasm';
import {canRun} from '../../src/llama/kernel_op';
import {withRecomputedLayers} from '../../src/tape/recompute_layers';
import {variableGrads} from '../../src/tape/tfjs_gradients';
import {backends, defaultBackend} from '../support/backends';
import {calledKernels} from '../support/called_kernels';
import {readJson, readTensors, toTensor} from '../support/fixtures';
import {captureInfo} from '../support/warnings';
import {loadCheckpoint, referenceNames} from './checkpoints';
import {expectClose, gradients, shift, type Reference} from './reference';

const {OwLoreBlock, OwLoreAttention, OwLoreMlpSublayer, OwLoreSwiGLU, OwLoreRMSNorm} = fused;

type Name = (typeof referenceNames)[number];

/** The kernels for blocks, beside the norms that are computed apart. */
const sets = [
  {
    backend: 'tensorflow',
    module: tensorflow,
    kernelsOf: (name: Name): string[] => {
      if (name === 'gemma3') return [];
      // the second half of a block is LLaMA's
      return name === 'qwen3' ? [OwLoreMlpSublayer] : [OwLoreBlock];
    },
  },
  {
    backend: 'wasm',
    module: wasm,
    kernelsOf: (name: Name): string[] => {
      if (name === 'gemma3') return [];
      return name === 'qwen3' ? [OwLoreSwiGLU] : [OwLoreAttention, OwLoreSwiGLU];
    },
  },
] as const;

/** The kernels for LLaMA-style models that `body` runs, but for the loss and the gradients. */
async function kernelsIn(body: () => Promise<void>): Promise<Set<string>> {
  const known: readonly string[] = Object.values(fused);
  const called = await calledKernels(body);
  return new Set(called.filter((name) => known.includes(name) && !/Grad$|CrossEntropy/.test(name)));
}

for (const {backend, module, kernelsOf} of sets) {
  (backends.includes(backend) ? describe : describe.skip)(`kernels of models [${backend}]`, () => {
    before(async () => {
      await tf.setBackend(backend);
      await module.installKernels();
    });
    after(async () => {
      if (backend === 'tensorflow') module.uninstallKernels();
      await tf.setBackend(defaultBackend);
    });

    for (const name of referenceNames) {
      for (const recomputed of ['none', 'auto'] as const) {
        it(`of ${name} compute what they should and no more, recomputed ${recomputed}`, async () => {
          const reference = readJson<Reference>(`llama/${name}`);
          const tensors = readTensors(`llama/${name}`);
          const model = loadCheckpoint(name);
          const ids = toTensor(tensors.get('ids')!);
          const [, seq] = ids.shape as [number, number];
          const labels = shift(tensors.get('ids')!.values, seq);
          const tape: typeof tf.variableGrads = (f, variables) =>
            variableGrads(() => withRecomputedLayers(recomputed, f), variables);
          const called = await kernelsIn(async () => {
            const {loss, grads} = await gradients(model, ids, labels, tape);
            expectClose([loss], [reference.cases.plain.loss], reference.tolerance.plain.loss);
            const names = [...grads.keys()];
            expectClose(
              names.flatMap((key) => [...Array.from(grads.get(key)!)]),
              names.flatMap((key) => [...tensors.get(`grad.${key}`)!.values]),
              reference.tolerance.plain.grad,
            );
          });
          expect([...called]).to.have.members([...kernelsOf(name), OwLoreRMSNorm]);
          tf.dispose([ids, labels]);
          model.dispose();
        });
      }
    }
  });
}

(backends.includes('tensorflow') ? describe : describe.skip)('frozen blocks [tensorflow]', () => {
  before(async () => {
    await tf.setBackend('tensorflow');
    await tensorflow.installKernels();
  });
  after(async () => {
    tensorflow.uninstallKernels();
    await tf.setBackend(defaultBackend);
  });

  it('run again with the value of their first half, for the same gradients as without', async () => {
    const model = loadCheckpoint('smollm2');
    const weights = model.trainableWeights;
    // one sequence, whose hidden states are small beside the weights of a block
    const row = tf.tidy(() => tf.slice(toTensor(readTensors('llama/smollm2').get('ids')!), 0, 1));
    const labels = shift(await row.data(), row.shape[1]!);
    const given: boolean[] = [];
    const engine = tf.engine();
    const runKernel = engine.runKernel.bind(engine);
    engine.runKernel = (name, inputs, ...args) => {
      if (name === OwLoreBlock) given.push('attended' in inputs);
      return runKernel<never>(name, inputs, ...args);
    };
    const gradientsBy = (which: 'none' | 'auto'): ReturnType<typeof gradients> =>
      gradients(
        model,
        row,
        labels,
        (f, variables) => variableGrads(() => withRecomputedLayers(which, f), variables),
        (i) => !weights[i]!.originalName.includes('layers.'),
      );
    try {
      const plain = await gradientsBy('none');
      const blocks = given.splice(0).length;
      expect(blocks).to.be.above(0);
      const before = tf.memory().numTensors;
      const {loss, grads} = await gradientsBy('auto');
      expect(tf.memory().numTensors).to.equal(before);
      expect(loss).to.equal(plain.loss);
      for (const [name, gradient] of grads) {
        // The sum over a query's keys is another one here.
        expectClose(gradient, plain.grads.get(name)!, {rtol: 1e-4, atol: 1e-6, rms: 1e-6});
      }
      const [first, second] = [false, true].map((isKept) => Array<boolean>(blocks).fill(isKept));
      expect(given).to.deep.equal([...first!, ...second!]);
    } finally {
      Reflect.deleteProperty(engine, 'runKernel');
      tf.dispose([row, labels]);
      model.dispose();
    }
  });
});

describe('a kernel that does not compute what a block needs', () => {
  const names = [OwLoreSwiGLU, fused.OwLoreSwiGLUGrad];
  before(() => {
    for (const kernelName of names) {
      const kernelFunc = () => {
        throw new Error('it ran');
      };
      tf.registerKernel({kernelName, backendName: defaultBackend, kernelFunc});
    }
  });
  after(() => names.forEach((name) => tf.unregisterKernel(name, defaultBackend)));

  it('does not run, and that is said once', async () => {
    expect(canRun(OwLoreSwiGLU, [])).to.equal(true);
    const {result, lines} = await captureInfo(() =>
      [1, 2].map(() => canRun(OwLoreSwiGLU, ['gelu'])),
    );
    expect(result).to.deep.equal([false, false]);
    expect(lines).to.deep.equal([
      `tfjs-owlore/llama: not all kernels for ${defaultBackend} compute gelu; a model with that runs these parts of its ` +
        'blocks op by op: the same results, more slowly',
    ]);
  });
});
