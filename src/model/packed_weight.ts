import * as tf from '@tensorflow/tfjs-core';
import type {LayerVariable} from '@tensorflow/tfjs-layers/dist/variables';
import {fromBfloat16} from '../files/half_precision';
import {readsSynchronously} from '../kernels/capabilities';
import {OwLorePackBfloat16, OwLoreUnpackBfloat16} from '../kernels/kernel_names';
import {hasKernel, runKernel} from '../kernels/run_kernel';
import {releaseData} from '../tfjs/engine';
import {replaceMethods} from '../tfjs/methods';
import {listForSteps, variableOf} from '../tfjs/models';
import {exactHalves, roundStochastically} from './rounding';

/** The packed weights of all models. */
const packedWeights = new WeakMap<LayerVariable, PackedWeight>();

/**
 * A weight that is kept as bfloat16 while it is frozen. Its `tf.Variable` is there all the time, under its name, but has no data
 * while the weight is packed; `read()` of the weight then gives its values as a new float32 tensor.
 */
export class PackedWeight {
  readonly variable: tf.Variable;
  /** `write` of the weight as it was. */
  private readonly writeFloats: LayerVariable['write'];

  /** @param packed What {@link packHalves} has made of its values; null if it is not packed. */
  constructor(
    private readonly weight: LayerVariable,
    private packed: tf.Tensor | null,
  ) {
    this.variable = variableOf(weight);
    this.writeFloats = weight.write.bind(weight);
    const [read, dispose] = [weight.read.bind(weight), weight.dispose.bind(weight)];
    replaceMethods(weight, {
      read: () => {
        const variable = read(); // throws if it is disposed of
        return this.packed ? unpacked(this.packed, variable.shape, weight.name) : variable;
      },
      write: (value: tf.Tensor) => this.write(value),
      dispose: () => {
        dispose();
        this.drop();
      },
    });
    if (packed) releaseData(this.variable);
  }

  /** Whether it has no float32 values now. */
  get isPacked(): boolean {
    return this.packed !== null;
  }

  /** The tensor that has its values now: the variable, or the packed one. It stays the weight's. */
  get source(): tf.Tensor {
    return this.packed ?? this.variable;
  }

  /** Makes it an ordinary variable. */
  unpack(): void {
    const {packed, variable, weight} = this;
    if (!packed) return;
    tf.tidy(() => variable.assign(unpacked(packed, variable.shape, weight.name)));
    this.drop();
  }

  /** Packs it, rounded by {@link roundStochastically}. */
  pack(seed: number): void {
    if (this.packed) return;
    const {variable} = this;
    const [packed] = runKernel(OwLorePackBfloat16, {x: variable}, {seed}) ?? [
      packHalves(roundStochastically(variable.dataSync<'float32'>(), seed)),
    ];
    this.keep(tf.keep(packed!));
  }

  /** Its values on the host, in memory that may be the tensor's own. */
  async values(): Promise<Float32Array> {
    if (!this.packed) return this.variable.data<'float32'>();
    const words = await this.packed.data<'int32'>();
    const halves = new Uint16Array(words.buffer, words.byteOffset, this.variable.size);
    return fromBfloat16(halves);
  }

  /**
   * Values from elsewhere, from a checkpoint perhaps, stay what they are to the last bit: they are packed if all are bfloat16, and
   * otherwise until the weight is next turned off.
   *
   * @param values Those of `value`; null where they cannot be read.
   */
  assign(value: tf.Tensor, values: Float32Array | null): void {
    const halves = values && exactHalves(values);
    if (halves) this.keep(packHalves(halves));
    else {
      this.variable.assign(value);
      this.drop();
    }
  }

  private write(value: tf.Tensor): LayerVariable {
    const {weight, variable} = this;
    if (!tf.util.arraysEqual(value.shape, variable.shape)) return this.writeFloats(value); // throws
    this.assign(value, readsSynchronously() ? value.dataSync<'float32'>() : null);
    return weight;
  }

  /**
   * Makes it packed, with the values of `packed`: a kept int32 tensor as {@link packHalves} makes it. The weight owns the tensor from
   * then on.
   */
  keep(packed: tf.Tensor): void {
    this.drop();
    releaseData(this.variable);
    this.packed = packed;
  }

  private drop(): void {
    this.packed?.dispose();
    this.packed = null;
  }
}

/** Whether the current backend can keep weights packed: it has the kernels, or can read the weights that are turned off. */
export function canPack(): boolean {
  return hasKernel(OwLoreUnpackBfloat16) && (hasKernel(OwLorePackBfloat16) || readsSynchronously());
}

/** Bfloat16 as a kept tensor, two in each number; the caller disposes of it, or hands it to {@link keepPacked}. */
export function packHalves(halves: Uint16Array): tf.Tensor {
  const words = new Int32Array(Math.ceil(halves.length / 2));
  new Uint16Array(words.buffer).set(halves);
  return tf.keep(tf.tensor1d(words, 'int32'));
}

/** The float32 values of such a tensor, in a new one. */
export function unpacked(packed: tf.Tensor, shape: number[], name: string): tf.Tensor {
  const result = runKernel(OwLoreUnpackBfloat16, {packed}, {shape});
  if (result) return result[0]!;
  throw cannotWiden(name);
}

/** The error of a weight that is used on a backend without the kernels. */
export function cannotWiden(name: string): Error {
  return new Error(
    `tfjs-owlore: the weight '${name}' is kept as bfloat16 (loadLlama's option frozenDtype: 'BF16'), which the backend ` +
      `'${tf.getBackend()}' cannot widen without this library's kernels; load the model for this backend`,
  );
}

/** Keeps a weight packed from now on, with the values `packed`, which it takes over, until it is turned on. */
export function keepPacked(weight: LayerVariable, packed: tf.Tensor): void {
  packedWeights.set(weight, new PackedWeight(weight, packed));
  listForSteps(listed);
}

/** What a weight is, if it is one that can be packed. */
export function packedWeight(weight: LayerVariable): PackedWeight | undefined {
  return packedWeights.get(weight);
}

/** The tensor that has a weight's values: its variable, or a packed tensor. Nothing is widened; it stays the weight's. */
export function sourceOf(weight: LayerVariable): tf.Tensor {
  return packedWeights.get(weight)?.source ?? weight.read();
}

/** The values of a weight on the host; they may be the tensor's own memory. */
export async function valuesOf(weight: LayerVariable): Promise<Float32Array> {
  return packedWeights.get(weight)?.values() ?? weight.read().data<'float32'>();
}

/** Gives a weight the values of a tensor, to the last bit: a constraint of its layer is not applied. They stay the caller's. */
export function setValue(weight: LayerVariable, value: tf.Tensor, values: Float32Array): void {
  const packed = packedWeights.get(weight);
  if (packed) packed.assign(value, values);
  else variableOf(weight).assign(value);
}

/**
 * What a training step of tfjs-layers reads in the place of a weight, to hand it to the optimizer: its variable, which is not
 * trainable as long as it is packed.
 */
function listed(weight: LayerVariable, optimizer: tf.Optimizer): Pick<LayerVariable, 'read'> {
  const packed = packedWeights.get(weight);
  if (!packed?.isPacked) return weight;
  return {
    read: () => {
      const where = `the weight '${weight.name}' is kept as bfloat16 (loadLlama's option frozenDtype: 'BF16')`;
      if (optimizer.getClassName() !== 'OwLoreOptimizer') {
        throw new Error(
          `tfjs-owlore: ${where}, and ${optimizer.getClassName()} would keep a state for it; use an OwLoreOptimizer (with ` +
            'project: false it is AdamW), or load the model without that option',
        );
      }
      if (packed.variable.trainable) {
        throw new Error(
          `tfjs-owlore: ${where}, so it cannot be trained as it is; pass a LayerSamplingCallback, which turns blocks on and off, ` +
            'freeze its layer before compile, or load the model without that option',
        );
      }
      return packed.variable;
    },
  };
}
