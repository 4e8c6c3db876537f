import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import type {LlamaConfig} from './config';
import type {KeyValueCache} from './generation/key_value_cache';
import {kernelInitializer, onlyInput, onlyShape, type KernelInit, type LayerArgs} from './layer';
import {pick} from './pick';
import {
  areSublayersFused,
  attentionSublayer,
  fusedBlock,
  mlpSublayer,
  type BlockWeights,
} from './sublayers';
import {isPartRecomputed, recomputedPart} from '../tape/recompute_layers';

/** What a block takes from the model's configuration. */
export const BLOCK_OPTIONS = [
  'intermediateSize',
  'numAttentionHeads',
  'numKeyValueHeads',
  'headDim',
  'rmsNormEps',
  'ropeTheta',
  'ropeScaling',
  'attentionBias',
  'slidingWindow',
] as const satisfies ReadonlyArray<keyof LlamaConfig>;

type BlockOptions = Pick<Required<LlamaConfig>, (typeof BLOCK_OPTIONS)[number]>;

export interface LlamaBlockArgs extends LayerArgs, KernelInit, BlockOptions {}

/** Names of a block's kernels, in the order in which their seeds count up. */
const KERNELS = [
  'self_attn.q_proj.weight',
  'self_attn.k_proj.weight',
  'self_attn.v_proj.weight',
  'self_attn.o_proj.weight',
  'mlp.gate_proj.weight',
  'mlp.up_proj.weight',
  'mlp.down_proj.weight',
] as const;
const NORMS = ['input_layernorm.weight', 'post_attention_layernorm.weight'] as const;
const BIASES = ['self_attn.q_proj.bias', 'self_attn.k_proj.bias', 'self_attn.v_proj.bias'] as const;
type WeightName = (typeof KERNELS)[number] | (typeof NORMS)[number] | (typeof BIASES)[number];

/**
 * A block with all its weights, nine or with biases twelve: `h = x + attention(norm(x))`, then `h +
 * mlp(norm(h))`; `[batch, seq, hidden]` to the same shape. The weights have the names of Hugging
 * Face's checkpoints, kernels are `[in, out]`.
 */
export class LlamaBlock extends tfl.layers.Layer {
  readonly args: LlamaBlockArgs;
  private readonly variables = new Map<WeightName, tfl.LayerVariable>();

  constructor(args: LlamaBlockArgs) {
    super(args);
    this.args = args;
  }

  static get className(): string {
    return 'LlamaBlock';
  }

  override build(inputShape: tfl.Shape | tfl.Shape[]): void {
    const {numAttentionHeads, numKeyValueHeads, headDim, intermediateSize} = this.args;
    const hidden = onlyShape(inputShape).at(-1)!;
    const queries = numAttentionHeads * headDim;
    const keys = numKeyValueHeads * headDim;
    const shapes: Record<(typeof KERNELS)[number], [number, number]> = {
      'self_attn.q_proj.weight': [hidden, queries],
      'self_attn.k_proj.weight': [hidden, keys],
      'self_attn.v_proj.weight': [hidden, keys],
      'self_attn.o_proj.weight': [queries, hidden],
      'mlp.gate_proj.weight': [hidden, intermediateSize],
      'mlp.up_proj.weight': [hidden, intermediateSize],
      'mlp.down_proj.weight': [intermediateSize, hidden],
    };
    KERNELS.forEach((name, i) => this.add(name, shapes[name], kernelInitializer(this.args, i)));
    for (const name of NORMS) this.add(name, [hidden], tfl.initializers.ones());
    const widths = [queries, keys, keys];
    (this.args.attentionBias ? BIASES : []).forEach((name, i) =>
      this.add(name, [widths[i]!], tfl.initializers.zeros()),
    );
    super.build(inputShape);
  }

  /**
   * With `{cache}` in `kwargs`, a `KeyValueCache`, the positions come after those that it has seen.
   */
  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Record<string, unknown>): tf.Tensor {
    return tf.tidy(() => {
      this.invokeCallHook(inputs, kwargs);
      const x = onlyInput(inputs);
      const cache = kwargs['cache'] as KeyValueCache | undefined;
      const [batch, seq, hidden] = x.shape as [number, number, number];
      const weights = this.readWeights();
      const kernels = Object.values(weights.attention.kernels);
      const attend = recomputedPart(
        (x: tf.Tensor) => attentionSublayer(x, seq, weights, this.args, cache),
        kernels,
      );
      const transform = (x: tf.Tensor): tf.Tensor => mlpSublayer(x, weights, this.args);
      if (areSublayersFused(cache)) {
        const whole = isPartRecomputed([x], kernels)
          ? null
          : fusedBlock(x, seq, weights, this.args);
        return whole ?? transform(attend(x));
      }
      const rows = tf.reshape(x, [batch * seq, hidden]);
      return tf.reshape(transform(attend(rows)), x.shape);
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    const {ropeScaling, initializerRange, seed} = this.args;
    return {
      ...super.getConfig(),
      ...pick(this.args, BLOCK_OPTIONS),
      ropeScaling: ropeScaling && {...ropeScaling},
      initializerRange,
      seed,
    };
  }

  private readWeights(): BlockWeights {
    return {
      attentionNorm: this.read('input_layernorm.weight'),
      attention: {
        kernels: {
          q: this.read('self_attn.q_proj.weight'),
          k: this.read('self_attn.k_proj.weight'),
          v: this.read('self_attn.v_proj.weight'),
          o: this.read('self_attn.o_proj.weight'),
        },
        biases: this.args.attentionBias
          ? {
              q: this.read('self_attn.q_proj.bias'),
              k: this.read('self_attn.k_proj.bias'),
              v: this.read('self_attn.v_proj.bias'),
            }
          : null,
      },
      mlpNorm: this.read('post_attention_layernorm.weight'),
      mlp: {
        gate: this.read('mlp.gate_proj.weight'),
        up: this.read('mlp.up_proj.weight'),
        down: this.read('mlp.down_proj.weight'),
      },
    };
  }

  private read(name: WeightName): tf.Tensor {
    return this.variables.get(name)!.read();
  }

  private add(
    name: WeightName,
    shape: number[],
    initializer: ReturnType<typeof tfl.initializers.ones>,
  ): void {
    this.variables.set(name, this.addWeight(name, shape, 'float32', initializer));
  }
}
tf.serialization.registerClass(LlamaBlock);
