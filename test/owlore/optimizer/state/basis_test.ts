import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {Matrix, SVD} from 'ml-matrix';
import {OwLoreLeftSingularVectors} from '../../../../src/kernels/kernel_names';
import {exactBasis, randomizedBasis} from '../../../../src/owlore/optimizer/state/basis';
import {orthonormalize} from '../../../../src/owlore/optimizer/state/orthonormalize';
import {describeBackends} from '../../../support/backends';

/** A random [rows, columns] matrix with singular values 1, `ratio`, `ratio`², …; one of another seed has other singular vectors. */
function decaying(rows: number, columns: number, ratio: number, seed = 1): tf.Tensor2D {
  const random = (n: number, seed: number): Matrix => {
    const values = tf.randomNormal([n, n], 0, 1, 'float32', seed);
    const {leftSingularVectors} = new SVD(Matrix.from1DArray(n, n, values.dataSync()));
    values.dispose();
    return leftSingularVectors;
  };
  const [u, v] = [random(rows, 2 * seed - 1), random(columns, 2 * seed)];
  const sigma = Matrix.zeros(rows, columns);
  for (let i = 0; i < Math.min(rows, columns); i++) sigma.set(i, i, ratio ** i);
  const matrix = u.mmul(sigma).mmul(v.transpose());
  return tf.tensor2d(matrix.to1DArray(), [rows, columns]);
}

/** ‖PᵀG‖², and the most that any basis of `rank` columns can have: the sum of the leading squared singular values. */
async function energies(
  basis: tf.Tensor2D,
  gradient: tf.Tensor2D,
  rank = basis.shape[1],
): Promise<[number, number]> {
  const [rows, columns] = gradient.shape;
  const [p, g] = [
    Matrix.from1DArray(rows, basis.shape[1], await basis.data()),
    Matrix.from1DArray(rows, columns, await gradient.data()),
  ];
  const captured = p.transpose().mmul(g).norm('frobenius') ** 2;
  const {diagonal} = new SVD(g, {autoTranspose: true});
  const best = diagonal.slice(0, rank).reduce((sum, sigma) => sum + sigma ** 2, 0);
  return [captured, best];
}

describeBackends('basis', (backend) => {
  const shapes: Array<[number, number]> = [
    [24, 40],
    [40, 24],
    [24, 24],
  ];
  for (const [rows, columns] of shapes) {
    // The nearer the neighbours, the slower a subspace iteration: (σ₇/σ₆)⁸ is 0.06 and 0.43 after four multiplications, (σ₇/σ₆)⁴ is 0.24
    // and 0.66 after the two of a warm start.
    for (const [ratio, least, leastTurned] of [
      [0.7, 0.99, 0.99],
      [0.9, 0.97, 0.9],
    ] as const) {
      it(`randomized captures the leading ${rows}×${columns} subspace, values falling by ${ratio}`, async () => {
        const gradient = decaying(rows, columns, ratio);
        const cold = tf.tidy(() => randomizedBasis(gradient, 6, null, 'w'));
        const [energy, best] = await energies(cold, gradient);
        expect(energy / best).to.be.within(least, 1 + 1e-5);
        // From a basis that is near already one iteration is enough to come nearer.
        const warm = tf.tidy(() => randomizedBasis(gradient, 6, cold, 'w'));
        expect((await energies(warm, gradient))[0]).to.be.at.least(energy * (1 - 1e-5));
        // And from one that has nothing to do with the gradient, to come most of the way.
        const [other, turned] = tf.tidy(() => {
          const other = randomizedBasis(decaying(rows, columns, ratio, 7), 6, null, 'w');
          return [other, randomizedBasis(gradient, 6, other, 'w')];
        });
        const [[before], [after]] = [
          await energies(other, gradient),
          await energies(turned, gradient),
        ];
        expect(before / best).to.be.below(0.5);
        expect(after / best).to.be.within(leastTurned, 1 + 1e-5);
        tf.dispose([gradient, cold, warm, other, turned]);
      });
    }
  }

  it('randomized captures as much where rows of the gradient are zero', async () => {
    const dense = decaying(24, 40, 0.9);
    const gradient = tf.concat2d([dense, tf.zeros<tf.Rank.R2>([6, 40])], 0);
    const basis = tf.tidy(() => randomizedBasis(gradient, 6, null, 'w'));
    const [energy, best] = await energies(basis, gradient);
    expect(energy / best).to.be.within(0.97, 1 + 1e-5);
    tf.dispose([dense, gradient, basis]);
  });

  it('randomized multiplies by the gradient and its transpose four times, from a basis before twice', () => {
    const gradient = decaying(12, 8, 0.8);
    const previous = tf.tidy(() => randomizedBasis(gradient, 3, null, 'w'));
    const engine = tf.engine();
    const runKernel = engine.runKernel.bind(engine);
    let products = 0;
    engine.runKernel = (name, inputs, attrs) => {
      if (inputs['a'] === gradient) products++;
      return runKernel<never>(name, inputs, attrs);
    };
    const productsOf = (from: tf.Tensor2D | null): number => {
      products = 0;
      tf.tidy(() => void randomizedBasis(gradient, 3, from, 'w'));
      return products;
    };
    try {
      expect([null, previous].map(productsOf)).to.deep.equal([8, 4]);
    } finally {
      Reflect.deleteProperty(engine, 'runKernel');
    }
    tf.dispose([gradient, previous]);
  });

  it('finds directions beside one that is a thousand times as large', async () => {
    const gradient = tf.tidy(() => {
      const sizes = tf.tensor1d(
        Array.from({length: 24}, (_, i) => (i === 0 ? 1 : 1e-3 * 0.8 ** i)),
      );
      return tf.mul<tf.Tensor2D>(
        orthonormalize(tf.randomNormal([24, 24], 0, 1, 'float32', 4)),
        sizes,
      );
    });
    const basis = tf.tidy(() => randomizedBasis(gradient, 6, null, 'w'));
    const rest = tf.slice<tf.Rank.R2, tf.Tensor2D>(gradient, [0, 1]);
    const [energy, best] = await energies(basis, rest, 5);
    expect(energy / best).to.be.within(0.9, 1 + 1e-5);
    tf.dispose([gradient, basis, rest]);
  });

  it('finds the singular vectors themselves where they are apart, down to a hundredth of the largest value', async () => {
    const gradient = decaying(24, 40, 0.5);
    const basis = tf.tidy(() => randomizedBasis(gradient, 8, null, 'w'));
    const columns = Matrix.from1DArray(24, 8, await basis.data()).transpose();
    const {leftSingularVectors} = new SVD(Matrix.from1DArray(24, 40, await gradient.data()), {
      autoTranspose: true,
    });
    // Four multiplications leave (σₖ₊₁/σₖ)⁸ = 0.004 of the neighbours, times some of what the random start has more of them.
    for (const [k, column] of columns.to2DArray().entries()) {
      const vector = leftSingularVectors.getColumn(k);
      const cosine = column.reduce((sum, value, i) => sum + value * vector[i]!, 0);
      expect(Math.abs(cosine), `column ${k}`).to.be.within(0.999, 1 + 1e-5);
    }
    tf.dispose([gradient, basis]);
  });

  it('is the same for a tiny and a huge gradient', async () => {
    const gradient = decaying(12, 8, 0.8);
    const basis = tf.tidy(() => randomizedBasis(gradient, 3, null, 'w'));
    for (const scale of [2 ** -100, 2 ** 100]) {
      const scaled = tf.tidy(() => tf.mul<tf.Tensor2D>(gradient, scale));
      const other = tf.tidy(() => randomizedBasis(scaled, 3, null, 'w'));
      const actual = await other.data();
      (await basis.data()).forEach((value, i) => expect(actual[i]).to.be.closeTo(value, 1e-5));
      tf.dispose([scaled, other]);
    }
    tf.dispose([gradient, basis]);
  });

  it('is orthonormal and complete where the gradient has fewer directions than the rank', async () => {
    const gradients = {
      rankOne: tf.tidy(() => tf.matMul<tf.Tensor2D>(tf.ones([9, 1]), tf.ones([1, 7]))),
      zero: tf.zeros<tf.Rank.R2>([9, 7]),
      // Of a small batch: twelve directions, the last of them four digits below the first.
      batch: tf.tidy(() =>
        tf.matMul<tf.Tensor2D>(
          decaying(72, 12, 0.45),
          tf.randomNormal<tf.Rank.R2>([12, 70], 0, 1, 'float32', 4),
        ),
      ),
    };
    for (const [name, gradient] of Object.entries(gradients)) {
      const rank = name === 'batch' ? 48 : 4;
      const basis = tf.tidy(() => randomizedBasis(gradient, rank, null, 'w'));
      const gram = tf.tidy(() => tf.matMul(basis, basis, true));
      (await gram.data()).forEach((value, i) =>
        expect(value, name).to.be.closeTo(i % (rank + 1) === 0 ? 1 : 0, 2e-6),
      );
      tf.dispose([basis, gram]);
    }
    tf.dispose(gradients);
  });

  it('is the same for the same gradient', async () => {
    const gradient = decaying(12, 8, 0.8);
    const [a, b] = tf.tidy(() => [
      randomizedBasis(gradient, 3, null, 'a'),
      randomizedBasis(gradient, 3, null, 'b'),
    ]);
    expect(await a.data()).to.deep.equal(await b.data());
    tf.dispose([gradient, a, b]);
  });

  const bases = {randomized: randomizedBasis, ...(backend !== 'webgpu' && {svd: exactBasis})};
  for (const [title, basisOf] of Object.entries(bases)) {
    it(`${title} follows a gradient that turns, with the signs of the basis before it`, async () => {
      const gradient = decaying(24, 40, 0.6);
      const first = tf.tidy(() => basisOf(gradient, 6, null, 'w'));
      let basis = tf.clone(first);
      let turned = tf.clone(gradient);
      for (let refresh = 0; refresh < 6; refresh++) {
        // each of its left singular vectors turns by 0.3, and the gradient to the opposite, which has the same ones
        const next = tf.tidy(() => {
          const [upper, lower] = tf.split(turned, 2) as [tf.Tensor2D, tf.Tensor2D];
          const [cos, sin] = [Math.cos(0.3), Math.sin(0.3)];
          const noise = tf.randomNormal<tf.Rank.R2>([24, 40], 0, 0.003, 'float32', refresh + 1);
          const gradient = tf.concat<tf.Tensor2D>([
            tf.sub(tf.mul(lower, sin), tf.mul(upper, cos)),
            tf.neg(tf.add(tf.mul(upper, sin), tf.mul(lower, cos))),
          ]);
          return [gradient, basisOf(tf.add(gradient, noise), 6, basis, 'w')] as const;
        });
        const cosines = tf.tidy(() => tf.sum(tf.mul(next[1], basis), 0));
        for (const cosine of await cosines.data()) expect(cosine).to.be.above(0.8);
        tf.dispose([turned, basis, cosines]);
        [turned, basis] = next;
      }
      const [[before], [after, best]] = [
        await energies(first, turned),
        await energies(basis, turned),
      ];
      expect(before / best).to.be.below(0.5);
      expect(after / best).to.be.within(0.98, 1 + 1e-5);
      tf.dispose([gradient, first, turned, basis]);
    });
  }

  if (backend === 'webgpu') return;

  it('svd is that of the backend where it has one', async () => {
    const existing = tf.getKernel(OwLoreLeftSingularVectors, backend) as
      tf.KernelConfig | undefined;
    if (existing) tf.unregisterKernel(OwLoreLeftSingularVectors, backend);
    tf.registerKernel({
      ...{kernelName: OwLoreLeftSingularVectors, backendName: backend},
      // not vectors, but its own
      kernelFunc: ({inputs}) => tf.mul(inputs['matrix'] as tf.Tensor, 2),
    });
    const gradient = decaying(4, 5, 0.6);
    const [basis, expected] = tf.tidy((): tf.Tensor[] => [
      exactBasis(gradient, 3, null, 'w'),
      tf.mul(tf.slice(gradient, [0, 0], [4, 3]), 2),
    ]);
    tf.unregisterKernel(OwLoreLeftSingularVectors, backend);
    if (existing) tf.registerKernel(existing);
    expect(await basis!.data()).to.deep.equal(await expected!.data());
    expect(basis!.shape).to.deep.equal([4, 3]);
    tf.dispose([gradient, basis!, expected!]);
  });

  it('svd gives the leading left singular vectors, tall and wide', async () => {
    for (const [rows, columns] of [
      [10, 6],
      [6, 10],
    ] as const) {
      const gradient = decaying(rows, columns, 0.6);
      const basis = exactBasis(gradient, 3, null, 'w');
      const [energy, best] = await energies(basis, gradient);
      expect(energy / best).to.be.closeTo(1, 1e-6);
      tf.dispose([gradient, basis]);
    }
  });
});
