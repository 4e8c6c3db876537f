import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {isNextValueUnread} from '../../src/tape/op_sequence';
import {recomputeGrad, runningPartsBy} from '../../src/tape/recompute';
import {drawnOnce, keepForSecondRun, keptInFirstRun} from '../../src/tape/segment';
import {collectGradients} from '../../src/tape/gradients';
import {describeBackends} from '../support/backends';
import {calledKernels} from '../support/called_kernels';

/** Runs `body` while the numbers that it draws from `Math.random` are counted, and known: 1/2, 1/3, 1/4, … */
function countingDraws(body: () => void): number {
  const {random} = Math;
  let draws = 0;
  Math.random = () => 1 / (++draws + 1);
  try {
    body();
  } finally {
    Math.random = random;
  }
  return draws;
}

/** Gradient of Σ f(w) at w = 3 for a recomputed f. */
async function slope(body: (x: tf.Tensor) => tf.Tensor): Promise<number> {
  const w = tf.variable(tf.tidy(() => tf.scalar(3)));
  const before = tf.memory().numTensors;
  const {value, grads} = collectGradients(() => recomputeGrad(body)(w) as tf.Scalar, [w]);
  const [gradient] = await grads[0]!.data();
  tf.dispose([value, ...(grads as tf.Tensor[])]);
  expect(tf.memory().numTensors).to.equal(before);
  w.dispose();
  return gradient!;
}

describeBackends('recomputeGrad', (backend) => {
  it('gives the same gradients as without', async () => {
    const w = tf.variable(tf.randomNormal([5, 5], 0, 1, 'float32', 1));
    const u = tf.variable(tf.randomNormal([5, 5], 0, 1, 'float32', 2));
    const x = tf.randomNormal([3, 5], 0, 1, 'float32', 3);
    const layer = (h: tf.Tensor): tf.Tensor =>
      tf.tidy(() => tf.add(h, tf.matMul(tf.tanh(tf.matMul(h, w)), u)));
    const run = (part: (h: tf.Tensor) => tf.Tensor): tf.Scalar =>
      tf.mean(tf.square(part(part(part(x)))));
    const before = tf.memory().numTensors;
    const {value, grads} = collectGradients(() => run(recomputeGrad(layer)), [w, u]);
    expect(tf.memory().numTensors).to.equal(before + 3);
    const plain = collectGradients(() => run(layer), [w, u]);
    expect(await value.data()).to.deep.equal(await plain.value.data());
    for (const i of [0, 1]) {
      expect(await grads[i]!.data()).to.deep.equal(await plain.grads[i]!.data());
    }
    tf.dispose([
      w,
      u,
      x,
      value,
      plain.value,
      ...(grads as tf.Tensor[]),
      ...(plain.grads as tf.Tensor[]),
    ]);
  });

  /** x³, and whether its second run may leave out the value. */
  const cube = (x: tf.Tensor, answers: boolean[]): tf.Tensor => {
    const isUnread = isNextValueUnread();
    answers.push(isUnread);
    const op = tf.customGrad((...args) => {
      const [x, save] = args as [tf.Tensor, tf.GradSaveFunc];
      save([x]);
      answers.push(isNextValueUnread());
      return {
        value: isUnread ? tf.fill(x.shape, NaN) : tf.mul(x, tf.square(x)),
        gradFunc: (dy: tf.Tensor, [x]: tf.Tensor[]) => tf.mul(dy, tf.mul(3, tf.square(x!))),
      };
    });
    return tf.tidy(() => op(x));
  };

  type Ending = (y: tf.Tensor, variable: tf.Variable, before: tf.Tensor) => tf.Tensor;
  const endings: Array<[string, Ending, number, boolean]> = [
    ['is returned', (y) => y, 27, true],
    ['is returned in another shape', (y) => tf.reshape(tf.reshape(y, [1, 1]), []), 27, true],
    ['an op reads', (y) => tf.mul(y, y), 2 * 27 * 27, false],
    ['is read and returned', (y) => (tf.square(y), y), 27, false],
    ['is assigned and returned', (y, variable) => (variable.assign(y), y), 27, false],
    ['is returned, unlike one before', (y, variable, x) => (variable.assign(x), y), 27, true],
  ];
  for (const [which, end, expected, isLeftOut] of endings) {
    it(`${isLeftOut ? 'may leave out' : 'computes again'} a value that ${which}`, async () => {
      const variable = tf.variable(tf.tidy(() => tf.scalar(0)));
      const answers: boolean[] = [];
      const body = (x: tf.Tensor): tf.Tensor =>
        tf.tidy(() => {
          const sum = tf.add(x, 0);
          return end(cube(sum, answers), variable, sum);
        });
      expect(await slope(body)).to.equal(expected);
      // asked before the op and inside of it, in each run
      expect(answers).to.deep.equal([false, false, isLeftOut, false]);
      variable.dispose();
    });
  }

  it('runs once more if its second run reads a value that it may have left out', async () => {
    // y², by an op that keeps only what it computes from y
    const square = tf.customGrad((y, save) => {
      const slope = tf.mul(y as tf.Tensor, 2);
      (save as tf.GradSaveFunc)([slope]);
      return {
        value: tf.square(y as tf.Tensor),
        gradFunc: (dy: tf.Tensor, [slope]: tf.Tensor[]) => tf.mul(dy, slope!),
      };
    });
    let runs = 0;
    const answers: boolean[] = [];
    const gradient = await slope((x) =>
      tf.tidy(() => {
        runs++;
        const y = cube(tf.add(x, 0), answers);
        return runs > 1 ? square(y) : y;
      }),
    );
    expect(runs).to.equal(3);
    expect(gradient).to.equal(2 * 27 * 27);
  });

  it('may leave out the value of the only op', async () => {
    const answers: boolean[] = [];
    expect(await slope((x) => cube(x, answers))).to.equal(27);
    expect(answers).to.deep.equal([false, false, true, false]);
  });

  it('runs once more if its second run assigns what it freed, or a value that it may have left out', async () => {
    for (const isFreed of [true, false]) {
      const variable = tf.variable(tf.tidy(() => tf.scalar(0)));
      let runs = 0;
      const gradient = await slope((x) =>
        tf.tidy(() => {
          runs++;
          const sum = tf.add(x, 0);
          // no gradient reads `sum`
          const y = cube(tf.neg(sum), []);
          if (runs > 1) variable.assign((isFreed ? sum : y) as tf.Scalar);
          return y;
        }),
      );
      expect(runs).to.equal(3);
      expect(gradient).to.equal(-27);
      expect(await variable.data()).to.deep.equal(new Float32Array([isFreed ? 3 : -27]));
      variable.dispose();
    }
  });

  it('may keep tensors for its second run, which are freed after it', async () => {
    const given: boolean[] = [];
    const part = (x: tf.Tensor): tf.Tensor =>
      tf.tidy(() => {
        const kept = [keptInFirstRun(), keptInFirstRun()];
        given.push(...kept.map((tensor) => tensor !== undefined));
        const square = kept[0] ?? tf.square(x);
        keepForSecondRun(square);
        return tf.mul(x, square);
      });
    // The kept square is a constant of the second run.
    expect(await slope(part)).to.equal(9);
    expect(given).to.deep.equal([false, false, true, false]);
  });

  it('keeps nothing where no gradient goes through it, nor outside of a recorded function', () => {
    const part = (x: tf.Tensor): tf.Tensor =>
      tf.tidy(() => {
        keepForSecondRun(tf.square(x));
        return tf.neg(x);
      });
    const [w, x] = [tf.variable(tf.scalar(3)), tf.scalar(2)];
    const before = tf.memory().numTensors;
    const loss = (): tf.Scalar => tf.mul(w, recomputeGrad(part)(x));
    const {value, grads} = collectGradients(() => tf.tidy(loss), [w]);
    expect(tf.memory().numTensors).to.equal(before + 2);
    tf.dispose([value, ...(grads as tf.Tensor[]), recomputeGrad(part)(x)]);
    const whileRecorded = collectGradients(() => {
      const {numTensors} = tf.memory();
      const y = recomputeGrad(part)(x);
      expect(tf.memory().numTensors, 'in the forward pass').to.equal(numTensors + 1);
      return tf.tidy(() => tf.mul(w, y));
    }, [w]);
    tf.dispose([whileRecorded.value, ...(whileRecorded.grads as tf.Tensor[])]);
    expect(tf.memory().numTensors).to.equal(before);
    expect(keptInFirstRun()).to.equal(undefined);
    tf.dispose([w, x]);
  });

  it('computes no gradient of what is not asked for', async () => {
    const [w, x] = [tf.variable(tf.ones([2, 2])), tf.ones([2, 2])];
    const products = await calledKernels(() => {
      const {value, grads} = collectGradients(
        () => tf.sum<tf.Scalar>(recomputeGrad((h: tf.Tensor) => tf.matMul(h, w))(x)),
        [w],
      );
      tf.dispose([value, ...(grads as tf.Tensor[])]);
    });
    // The product, the same again, and the gradient of one of its factors.
    expect(products.filter((name) => name === tf.BatchMatMul)).to.have.length(3);
    tf.dispose([w, x]);
  });

  it('runs the parts of a function in the way that is asked for, also when they run again', async () => {
    const w = tf.variable(tf.scalar(3));
    let runs = 0;
    const counted = <T>(body: () => T): T => {
      runs++;
      return body();
    };
    const part = recomputeGrad((x: tf.Tensor) => tf.square(x));
    const gradient = async (f: () => tf.Tensor): Promise<number> => {
      const {value, grads} = collectGradients(f, [w]);
      const [number] = await grads[0]!.data();
      tf.dispose([value, ...(grads as tf.Tensor[])]);
      return number!;
    };
    expect(await gradient(() => runningPartsBy(counted, () => part(w)))).to.equal(6);
    expect(runs, 'the function, its part, and the part again').to.equal(3);
    const fail = (): never => {
      throw new Error('in the function');
    };
    expect(() => runningPartsBy(counted, fail)).to.throw('in the function');
    runs = 0;
    expect(await gradient(() => part(w))).to.equal(6);
    expect(runs).to.equal(0);
    w.dispose();
  });

  it('draws the numbers of an own source once, in checkpoints in one another, too', async () => {
    let draws = 0;
    const draw = (): number => drawnOnce(() => ++draws);
    const part = (x: tf.Tensor): tf.Tensor => tf.tidy(() => tf.mul(tf.mul(x, draw()), 10 * draw()));
    expect(await slope(part)).to.equal(20);
    expect(await slope(recomputeGrad(part))).to.equal(3 * 40);
    expect([draw(), draws]).to.deep.equal([5, 5]);
  });

  it('gives what was kept for its second run in the order in which it was kept', async () => {
    const given: Array<tf.Tensor | undefined> = [];
    await slope((x) =>
      tf.tidy(() => {
        given.push(keptInFirstRun(), keptInFirstRun());
        const kept = [tf.zeros([1]), tf.zeros([2])];
        kept.forEach(keepForSecondRun);
        return tf.square(x);
      }),
    );
    expect(given.map((tensor) => tensor?.size)).to.deep.equal([undefined, undefined, 1, 2]);
  });

  it('starts its second run from the values before several assignments', async () => {
    const factor = tf.variable(
      tf.tidy(() => tf.scalar(1)),
      false,
    );
    const gradient = await slope((x) =>
      tf.tidy(() => {
        for (const times of [2, 3]) factor.assign(tf.mul(factor, times));
        return tf.mul(x, factor);
      }),
    );
    expect(gradient).to.equal(6);
    expect(await factor.data()).to.deep.equal(new Float32Array([6]));
    factor.dispose();
  });

  it('does not run once more after an error of its second run', async () => {
    let runs = 0;
    const w = tf.variable(tf.tidy(() => tf.scalar(3)));
    const part = recomputeGrad((x: tf.Tensor) => {
      if (++runs === 2) throw new Error('in the second run');
      return tf.square(x);
    });
    expect(() => collectGradients(() => part(w), [w])).to.throw('in the second run');
    expect(runs).to.equal(2);
    // that it was the turn of the last op is forgotten
    expect(isNextValueUnread()).to.equal(false);
    w.dispose();
  });

  it('sees the same random numbers twice', async () => {
    const w = tf.variable(tf.ones([100]));
    const dropped = recomputeGrad((x: tf.Tensor) => tf.square(tf.dropout(x, 0.5)));
    const {value, grads} = collectGradients(() => tf.sum<tf.Scalar>(dropped(w)), [w]);
    // d/dw Σ (w·m)² = 2·w·m², and the value is Σ m² at w = 1.
    const [sum] = await tf.sum(grads[0]!).data();
    expect(sum).to.equal(2 * (await value.data())[0]!);
    tf.dispose([w, value, ...(grads as tf.Tensor[])]);
  });

  it('draws what its function draws, and nothing else', () => {
    const w = tf.variable(tf.ones([10]));
    const gradients = (part: (x: tf.Tensor) => tf.Tensor): number =>
      countingDraws(() => {
        const {value, grads} = collectGradients(() => tf.sum<tf.Scalar>(part(part(w))), [w]);
        tf.dispose([value, ...(grads as tf.Tensor[])]);
      });
    const inner = recomputeGrad((x: tf.Tensor) => tf.tanh(x));
    const nested = recomputeGrad((x: tf.Tensor) => tf.mul(inner(x), x));
    expect(gradients(nested)).to.equal(0);
    const dropped = (x: tf.Tensor): tf.Tensor => tf.square(tf.dropout(x, 0.5));
    expect(gradients(dropped)).to.equal(2);
    expect(gradients(recomputeGrad(dropped))).to.equal(2);
    expect(gradients(recomputeGrad((x: tf.Tensor) => recomputeGrad(dropped)(x)))).to.equal(2);
    w.dispose();
  });

  it('frees each result in its second run when nothing reads it any more', async () => {
    const alive: number[] = [];
    const gradient = await slope((x) =>
      tf.tidy(() => {
        const before = tf.memory().numTensors;
        let h = x;
        for (let i = 0; i < 10; i++) h = tf.add(h, x);
        alive.push(tf.memory().numTensors - before);
        return tf.square(h);
      }),
    );
    expect(gradient).to.equal(2 * 11 * 33);
    expect(alive).to.deep.equal([10, 1]);
  });

  it('frees what ops inside of another one have read, too, and nothing that an op has passed on', async () => {
    const add = tf.customGrad((...args) => {
      const [a, b] = args as tf.Tensor[];
      return {value: tf.add(a!, b!), gradFunc: (dy: tf.Tensor) => [dy, dy]};
    });
    const passOn = tf.customGrad((x) => ({
      value: x as tf.Tensor,
      gradFunc: (dy: tf.Tensor) => dy,
    }));
    const w = tf.variable(tf.tidy(() => tf.scalar(3)));
    const alive: number[] = [];
    const body = recomputeGrad((x: tf.Tensor) =>
      tf.tidy(() => {
        const before = tf.memory().numTensors;
        let h = passOn(x);
        for (let i = 0; i < 10; i++) h = add(h, x);
        alive.push(tf.memory().numTensors - before);
        return tf.square(h);
      }),
    );
    const {value, grads} = collectGradients(() => body(w) as tf.Scalar, [w]);
    expect(await grads[0]!.data()).to.deep.equal(new Float32Array([2 * 11 * 33]));
    expect(alive).to.deep.equal([10, 1]);
    expect(w.isDisposed).to.equal(false);
    tf.dispose([w, value, ...(grads as tf.Tensor[])]);
  });

  it('keeps what its function assigns to a variable or gives to an inner checkpoint', async () => {
    const last: tf.Variable = tf.variable(
      tf.tidy(() => tf.scalar(0)),
      false,
    );
    const inner = recomputeGrad((h: tf.Tensor) => tf.square(tf.mul(h, last)));
    const gradient = await slope((x) =>
      tf.tidy(() => {
        const double = tf.mul(x, 2);
        // Its gradient reads nothing, so that nobody else holds `double`.
        const sum = tf.add(double, 1);
        last.assign(double);
        return tf.mul(inner(sum), last);
      }),
    );
    // c³(2x + 1)² with the variable as a constant, c = 6.
    expect(gradient).to.equal(6 ** 3 * 4 * 7);
    expect(await last.data()).to.deep.equal(new Float32Array([6]));
    last.dispose();
  });

  it('runs once more if its second run reads again what it freed', async () => {
    let runs = 0;
    const gradient = await slope((x) =>
      tf.tidy(() => {
        runs++;
        const double = tf.mul(x, 2);
        const square = tf.square(double);
        return tf.mul(square, runs > 1 ? tf.mul(double, 0.5) : x);
      }),
    );
    expect(runs).to.equal(3);
    expect(gradient).to.equal(4 * 3 * 9);
  });

  it('frees nothing where its second run goes another way', async () => {
    let runs = 0;
    const gradient = await slope((x) =>
      tf.tidy(() => {
        const four = runs++ === 0 ? tf.sqrt(tf.add(tf.square(tf.scalar(2)), 12)) : tf.scalar(4);
        const product = tf.mul(x, four);
        return tf.mul(tf.square(product), tf.add(product, 1));
      }),
    );
    // (4x)²(4x + 1)
    expect(gradient).to.equal(3 * 64 * 9 + 2 * 16 * 3);
    expect(runs).to.equal(2);
  });

  it('frees nothing where its second run reads the same results in another order', async () => {
    let runs = 0;
    const gradient = await slope((x) =>
      tf.tidy(() => {
        const [a, b] = [tf.mul(x, 2), tf.mul(x, 3)] as const;
        const [first, second] = runs++ === 0 ? [a, b] : [b, a];
        return tf.mul(tf.square(first), second);
      }),
    );
    // (3x)²·2x
    expect(gradient).to.equal(3 * 18 * 9);
    expect(runs).to.equal(2);
  });

  it('frees a result that shares its data with what it was given', async () => {
    let runs = 0;
    const gradient = await slope((x) =>
      tf.tidy(() => {
        runs++;
        const copy = tf.clone(x);
        return tf.mul(tf.square(copy), x);
      }),
    );
    expect(gradient).to.equal(3 * 9);
    expect(runs).to.equal(2);
  });

  if (backend !== 'webgpu') {
    it('keeps what its function reads on the host', async () => {
      const gradient = await slope((x) =>
        tf.tidy(() => {
          const double = tf.mul(x, 2);
          const square = tf.square(double);
          return tf.mul(square, double.dataSync()[0]!);
        }),
      );
      expect(gradient).to.equal(6 * 8 * 3);
    });
  }

  it('assigns to variables once', async () => {
    const w = tf.variable(tf.ones([2]));
    const average = tf.variable(tf.scalar(0), false);
    const body = recomputeGrad((x: tf.Tensor) => {
      average.assign(tf.add(tf.mul(average, 0.5), tf.mean(x)));
      return tf.mul(x, average);
    });
    const {value, grads} = collectGradients(() => tf.sum<tf.Scalar>(body(body(w))), [w]);
    // First 1, then 0.5 + 1: x·1·1.5.
    expect(await average.data()).to.deep.equal(new Float32Array([1.5]));
    expect(await value.data()).to.deep.equal(new Float32Array([3]));
    expect(await grads[0]!.data()).to.deep.equal(new Float32Array([1.5, 1.5]));
    tf.dispose([w, average, value, ...(grads as tf.Tensor[])]);
  });

  it('may return what it was given, also by way of a custom gradient, and a tensor twice', async () => {
    const w = tf.variable(tf.scalar(3));
    const passOn = tf.customGrad((x) => ({
      value: x as tf.Tensor,
      gradFunc: (dy: tf.Tensor) => tf.mul(dy, 10),
    }));
    const body = recomputeGrad((x: tf.Tensor) => {
      const square = tf.square(x);
      return [x, square, square];
    });
    const before = tf.memory().numTensors;
    const {value, grads} = collectGradients(() => {
      const h = recomputeGrad(passOn)(w);
      return tf.addN(body(h)) as tf.Scalar;
    }, [w]);
    expect(await value.data()).to.deep.equal(new Float32Array([21]));
    expect(await grads[0]!.data()).to.deep.equal(new Float32Array([130]));
    expect(w.isDisposed).to.be.false;
    tf.dispose([value, ...(grads as tf.Tensor[])]);
    expect(tf.memory().numTensors).to.equal(before);
    w.dispose();
  });

  it('reads variables as they were, also where something after it assigns to them', async () => {
    const w = tf.variable(tf.tensor1d([1, 2]));
    const scale = tf.variable(tf.tensor1d([3, 3]), false);
    const gradientOf = async (part: (f: () => tf.Tensor) => () => tf.Tensor): Promise<unknown> => {
      const {numTensors} = tf.memory();
      tf.tidy(() => scale.assign(tf.tensor1d([3, 3])));
      const {value, grads} = collectGradients(() => {
        const y = part(() => tf.mul(w, scale))();
        const z = part(() => tf.mul(w, scale))();
        scale.assign(tf.mul(scale, 10));
        scale.assign(tf.mul(scale, 10));
        return tf.sum<tf.Scalar>(tf.square(tf.add(y, z)));
      }, [w]);
      const result = [await value.array(), await grads[0]!.array(), await scale.array()];
      tf.dispose([value, ...(grads as tf.Tensor[])]);
      expect(tf.memory().numTensors).to.equal(numTensors);
      return result;
    };
    const plain = await gradientOf((f) => f);
    expect(await gradientOf((f) => recomputeGrad(f))).to.deep.equal(plain);
    expect(plain).to.deep.equal([180, [72, 144], [300, 300]]);
    tf.dispose([w, scale]);
  });

  it('may dispose of what it is given, each time', async () => {
    const w = tf.variable(tf.tensor1d([1, 2]));
    const gradientOf = async (
      part: (f: (x: tf.Tensor) => tf.Tensor) => (x: tf.Tensor) => tf.Tensor,
    ): Promise<unknown> => {
      const {numTensors} = tf.memory();
      const {value, grads} = collectGradients(() => {
        const squareAndFree = (x: tf.Tensor): tf.Tensor => {
          const y = tf.square(x);
          x.dispose();
          return tf.mul(y, w);
        };
        return tf.sum<tf.Scalar>(part(squareAndFree)(tf.exp(w)));
      }, [w]);
      const result = [await value.array(), await grads[0]!.array()];
      tf.dispose([value, ...(grads as tf.Tensor[])]);
      expect(tf.memory().numTensors).to.equal(numTensors);
      return result;
    };
    const plain = await gradientOf((f) => f);
    expect(await gradientOf((f) => recomputeGrad(f))).to.deep.equal(plain);
    w.dispose();
  });

  it('runs again on inputs that a tidy has disposed of', async () => {
    const w = tf.variable(tf.scalar(3));
    const inputs: tf.Tensor[] = [];
    // The method looks whether the tensor is disposed.
    const body = recomputeGrad((x: tf.Tensor) => tf.square(x.clone()));
    const {value, grads} = collectGradients(
      () =>
        tf.tidy(() => {
          inputs.push(tf.mul(w, 2));
          return body(inputs[0]!) as tf.Scalar;
        }),
      [w],
    );
    expect(await grads[0]!.data()).to.deep.equal(new Float32Array([24]));
    expect(inputs[0]!.isDisposed).to.be.true;
    tf.dispose([w, value, ...(grads as tf.Tensor[])]);
  });
});
