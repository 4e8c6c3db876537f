import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {architectures} from './architectures';
import type {Architecture} from './architectures/architecture';
import {
  modelShape,
  sizesOf,
  type BlockRole,
  type ByRole,
  type Weight,
} from './architectures/weights';
import type {ResolvedConfig} from './config';
import type {DecodeState} from './generation/key_value_cache';
import {hasSeparateProducts} from '../kernels/products';
import {onlyInput, onlyShape, weightInitializer, type LayerArgs, type WeightInit} from './layer';
import {pick} from './pick';
import {normFactor} from './rms_norm';
import {
  areSublayersFused,
  attentionSublayer,
  decodeArguments,
  decodedBlock,
  fusedBlock,
  mlpSublayer,
  type DecodeArguments,
  type SublayerOptions,
} from './sublayers';
import {isPartRecomputed, recomputedPart} from '../tape/recompute_layers';

/** What a block takes from the model's configuration. */
export const BLOCK_OPTIONS = [
  'architecture',
  'intermediateSize',
  'numAttentionHeads',
  'numKeyValueHeads',
  'headDim',
  'rmsNormEps',
  'ropeTheta',
  'ropeScaling',
  'ropeLocalBaseFreq',
  'queryPreAttnScalar',
  'attentionBias',
  'slidingWindow',
] as const satisfies ReadonlyArray<keyof ResolvedConfig>;

type BlockOptions = Pick<ResolvedConfig, (typeof BLOCK_OPTIONS)[number]>;

export interface LlamaBlockArgs extends LayerArgs, WeightInit, BlockOptions {
  /** Whether this block has the model's sliding window. */
  isSliding: boolean;
}

/**
 * A block with all the weights that its architecture has: `h = x + attention(norm(x))`, then `h +
 * mlp(norm(h))`, `[batch, seq, hidden]` to the same shape. If there are output norms, the outputs of attention and
 * MLP go through them. The weights have the names of Hugging Face's checkpoints; kernels are `[in, out]`.
 */
export class LlamaBlock extends tfl.layers.Layer {
  readonly args: LlamaBlockArgs;
  /** How many keys a position sees at most; null: all earlier ones. */
  readonly window: number | null;
  private readonly architecture: Architecture;
  private readonly options: SublayerOptions;
  private readonly variables = new Map<BlockRole, tfl.LayerVariable>();

  constructor(args: LlamaBlockArgs) {
    super(args);
    this.args = args;
    this.architecture = architectures[args.architecture];
    this.window = args.isSliding ? args.slidingWindow : null;
    const {activation = 'silu', options} = this.architecture;
    const isLocal = this.window !== null && options.includes('ropeLocalBaseFreq');
    this.options = {
      ...pick(args, BLOCK_OPTIONS),
      ...(isLocal && {ropeTheta: args.ropeLocalBaseFreq, ropeScaling: null}),
      slidingWindow: this.window,
      activation,
    };
  }

  static get className(): string {
    return 'LlamaBlock';
  }

  override build(inputShape: tfl.Shape | tfl.Shape[]): void {
    const sizes = sizesOf({...this.args, hiddenSize: onlyShape(inputShape).at(-1)!});
    const {unitOffset = false} = this.architecture;
    let kernels = 0;
    for (const [role, weight] of this.roles()) {
      const initializer = weightInitializer({...this.args, unitOffset}, weight, kernels);
      const shape = modelShape(weight, sizes);
      const variable = this.addWeight(weight.name, shape, 'float32', initializer);
      this.variables.set(role, variable);
      if (weight.kind !== 'kernel') continue;
      kernels++;
      this.args.onKernel?.(`${this.name}.${weight.name}`, variable);
    }
    super.build(inputShape);
  }

  /**
   * With the entries of a `DecodeState` in `kwargs` the positions follow those that its cache has seen.
   */
  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Record<string, unknown>): tf.Tensor {
    return tf.tidy(() => {
      this.invokeCallHook(inputs, kwargs);
      const x = onlyInput(inputs);
      const state = 'cache' in kwargs ? (kwargs as unknown as DecodeState) : undefined;
      const cache = state?.cache;
      const [batch, seq, hidden] = x.shape as [number, number, number];
      const decoded =
        state && decodedBlock(x, (read) => this.readWeights(read), this.options, state);
      if (decoded) return decoded;
      const weights = this.readWeights((weight) => weight.read());
      const kernels = [weights.q, weights.k, weights.v, weights.o];
      const attend = recomputedPart(
        (x: tf.Tensor) => attentionSublayer(x, seq, weights, this.options, cache),
        kernels,
      );
      const transform = (x: tf.Tensor): tf.Tensor => mlpSublayer(x, weights, this.options);
      if (areSublayersFused(weights, this.options, cache)) {
        const whole = isPartRecomputed([x], kernels)
          ? null
          : fusedBlock(x, seq, weights, this.options);
        return whole ?? transform(attend(x));
      }
      const rows = tf.reshape(x, [batch * seq, hidden]);
      return tf.reshape(transform(attend(rows)), x.shape);
    });
  }

  /** What {@link decodeArguments} says of it, for a kernel in the place of a call; null also where something is added to its products. */
  decodeArguments(kernelName: string, state: DecodeState): DecodeArguments | null {
    if ([...this.variables.values()].some(hasSeparateProducts)) return null;
    return decodeArguments(kernelName, (read) => this.readWeights(read), this.options, state);
  }

  override getConfig(): tf.serialization.ConfigDict {
    const {ropeScaling, initializerRange, seed, isSliding} = this.args;
    return {
      ...super.getConfig(),
      ...pick(this.args, BLOCK_OPTIONS),
      ropeScaling: ropeScaling && {...ropeScaling},
      initializerRange,
      seed,
      isSliding,
    };
  }

  private roles(): Array<[BlockRole, Weight]> {
    return Object.entries(this.architecture.weights) as Array<[BlockRole, Weight]>;
  }

  private readWeights(read: (weight: tfl.LayerVariable) => tf.Tensor): ByRole<tf.Tensor> {
    const {weights, unitOffset = false} = this.architecture;
    const entries = [...this.variables].map(([role, variable]) => {
      const value = read(variable);
      return [role, weights[role]!.kind === 'norm' ? normFactor(value, unitOffset) : value];
    });
    return Object.fromEntries(entries) as ByRole<tf.Tensor>;
  }
}
tf.serialization.registerClass(LlamaBlock);
