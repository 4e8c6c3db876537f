/**
 * The blocks of a LLaMA-style model as the ops that a training step runs on each backend, with what each holds for its gradient: as
 * `src/llama/sublayers`, `attention`, `mlp` and `rms_norm` have them.
 */
import {architectures} from '../llama/architectures';
import {rowsAtATime} from '../llama/causal_attention';
import type {ResolvedConfig} from '../llama/config';
import type {BlockRole} from '../llama/architectures/weights';
import {KEPT_PART} from '../llama/sublayers';
import type {EstimatedBackend} from './options';
import {bytesOf, type Op, type Program, type Weight as TapeWeight} from './tape';
import {adapterShapes, type PlannedWeight as Weight} from './training_plan';

/** What the ops of a block depend on. */
export interface BlockSetting {
  config: ResolvedConfig;
  backend: EstimatedBackend;
  batch: number;
  length: number;
  /** The block's weights. */
  weights: Readonly<Partial<Record<BlockRole, Weight>>>;
  /** Whether the weights train. */
  isTrained: boolean;
  /** Whether LoRA has adapters in it, so that its products are ops of their own where no kernel adds to them. */
  isAdapted: boolean;
  /** Whether the inputs of adapters go through dropout. */
  hasDropout: boolean;
  /** Whether blocks are recomputed. */
  isRecomputed: boolean;
  /** Bytes of float32 copies of packed weights. */
  widened: number;
}

/** Bytes of the values in a block. */
interface Sizes {
  hidden: number;
  gate: number;
  queries: number;
  keys: number;
  /** Attention's scores of all queries and keys. */
  scores: number;
}

const FLOAT = 4;

function sizesIn({config, batch, length}: BlockSetting): Sizes {
  const {hiddenSize, intermediateSize, numAttentionHeads, numKeyValueHeads, headDim} = config;
  const rows = FLOAT * batch * length;
  return {
    hidden: rows * hiddenSize,
    gate: rows * intermediateSize,
    queries: rows * numAttentionHeads * headDim,
    keys: rows * numKeyValueHeads * headDim,
    scores: rows * numAttentionHeads * length,
  };
}

/** The parts of a block that run again one by one; a single one that is the whole block, unless attention is a part of its own. */
export function partsOfBlock(setting: BlockSetting, isSplit: boolean): Program[] {
  const {widened} = setting;
  const sizes = sizesIn(setting);
  if (isFused(setting)) {
    if (!isSplit) return [{ops: [fusedBlock(setting, sizes)], widened}];
    return [
      {ops: [fusedAttention(setting, sizes)], widened},
      {ops: [fusedMlp(setting, sizes)], widened},
    ];
  }
  const attention = attentionOps(setting, sizes);
  // attention may be made of ops where the MLP is one op
  const mlp = isMlpOneOp(setting) ? [fusedMlp(setting, sizes)] : mlpOps(setting, sizes);
  if (isSplit) return [attention, mlp].map((ops) => ({ops: endingIn(ops, 'out'), widened}));
  const joined = mlp.map((op) => renamed(op, 'x', 'attended'));
  return [{ops: [...endingIn(attention, 'attended'), ...joined], widened}];
}

/**
 * On tensorflow a block is one op, or attention and MLP are one each, unless it has a feature, or dropout before adapters, that no
 * kernel computes.
 */
function isFused({backend, isAdapted, hasDropout, config, weights}: BlockSetting): boolean {
  const isPlain =
    !weights.outputNorm && !weights.qNorm && config.queryPreAttnScalar === config.headDim;
  return backend === 'tensorflow' && !(isAdapted && hasDropout) && isPlain;
}

/** On tensorflow the MLP is one op whatever attention is. */
function isMlpOneOp(setting: BlockSetting): boolean {
  const {backend, isAdapted, hasDropout, weights} = setting;
  const isPlain = !weights.mlpOutputNorm && isSilu(setting);
  return backend === 'tensorflow' && !(isAdapted && hasDropout) && isPlain;
}

function ofRoles({weights}: BlockSetting, roles: readonly BlockRole[]): Weight[] {
  return roles.flatMap((role) => weights[role] ?? []);
}

/** The same, and the adapters of these weights. */
function withAdapters(setting: BlockSetting, roles: readonly BlockRole[]): TapeWeight[] {
  return ofRoles(setting, roles).flatMap((weight) => [weight, ...adaptersOf(weight)]);
}

function adaptersOf({shape, adapterRank}: Weight): TapeWeight[] {
  return adapterShapes(shape, adapterRank).map((own) => ({shape: own, isTrained: true}));
}

const ATTENTION = ['norm', 'q', 'k', 'v', 'o', 'qBias', 'kBias', 'vBias'] as const;
const MLP = ['mlpNorm', 'gate', 'up', 'down'] as const;

/**
 * Bytes that a block keeps of its first run although it is recomputed: on tensorflow, if it is frozen, the value of its first half,
 * where that is small.
 */
export function keptOfFirstRun(setting: BlockSetting): number {
  const {hidden} = sizesIn(setting);
  const weights = Object.values(setting.weights).reduce((sum, weight) => sum + bytesOf(weight), 0);
  const isFrozen = !setting.isTrained && !setting.isAdapted;
  const isKept = setting.isRecomputed && isFrozen && hidden <= KEPT_PART * weights;
  return isFused(setting) && isKept ? hidden : 0;
}

function fusedBlock(setting: BlockSetting, {hidden, gate, queries, keys, scores}: Sizes): Op {
  const {length, config, isRecomputed} = setting;
  const keepsScores = !isRecomputed && length <= 4 * config.headDim;
  const ofFirstHalf = keptOfFirstRun(setting) > 0 ? 0 : hidden + queries;
  return {
    ...{reads: ['x'], writes: 'out', size: hidden, keeps: ['x'], mayOmitValue: true},
    keepsOwn: ofFirstHalf + 2 * gate + queries + 2 * keys + (keepsScores ? scores : 0),
    weights: withAdapters(setting, [...ATTENTION, ...MLP]),
  };
}

function fusedAttention(setting: BlockSetting, {hidden, queries, keys}: Sizes): Op {
  return {
    ...{reads: ['x'], writes: 'out', size: hidden, keeps: ['x']},
    keepsOwn: 2 * queries + 2 * keys,
    weights: withAdapters(setting, ATTENTION),
  };
}

function fusedMlp(setting: BlockSetting, {hidden, gate}: Sizes): Op {
  return {
    ...{reads: ['x'], writes: 'out', size: hidden, keeps: ['x'], mayOmitValue: true},
    keepsOwn: 2 * gate,
    weights: withAdapters(setting, MLP),
  };
}

/** `x + attention(norm(x))`, op by op. */
function attentionOps(setting: BlockSetting, sizes: Sizes): Op[] {
  const {backend, isAdapted, weights, config} = setting;
  const {hidden, queries, keys} = sizes;
  const normed = normOp(setting, 'norm', 'x', 'normed', hidden);
  const hasKernel =
    backend === 'wasm' &&
    !isAdapted &&
    !weights.qNorm &&
    config.queryPreAttnScalar === config.headDim;
  const mixing: Op[] = hasKernel
    ? [
        {
          ...{reads: ['normed'], writes: 'mixed', size: queries, keeps: ['normed', 'mixed']},
          isInner: true,
          keepsOwn: queries + 2 * keys,
          weights: ofRoles(setting, ['q', 'k', 'v', 'qBias', 'kBias', 'vBias']),
        },
      ]
    : [
        ...rotated(setting, 'q', queries),
        ...rotated(setting, 'k', keys),
        ...product(setting, 'v', 'normed', 'v', keys),
        causalAttention(setting, sizes),
        {reads: ['apart'], writes: 'mixed', size: queries, isInner: true},
      ];
  const projected = product(setting, 'o', 'mixed', 'projected', hidden);
  const last = weights.outputNorm
    ? [normOp(setting, 'outputNorm', 'projected', 'scaled', hidden)]
    : [];
  const added = last.length > 0 ? 'scaled' : 'projected';
  return [
    normed,
    ...mixing,
    ...projected,
    ...last,
    {reads: ['x', added], writes: 'out', size: hidden, adds: ['x', added]},
  ];
}

/** `x + mlp(norm(x))`, op by op. */
function mlpOps(setting: BlockSetting, {hidden, gate}: Sizes): Op[] {
  const {backend, isAdapted, weights} = setting;
  const isFused = (backend === 'wasm' || backend === 'tensorflow') && isSilu(setting);
  const before = [
    normOp(setting, 'mlpNorm', 'x', 'mlpNormed', hidden),
    ...product(setting, 'gate', 'mlpNormed', 'gated', gate),
    ...product(setting, 'up', 'mlpNormed', 'upped', gate),
  ];
  const gating: Op = {
    ...{reads: ['gated', 'upped'], writes: 'inner', size: gate, keeps: ['gated', 'upped']},
    isInner: true,
    ...(isFused ? {} : {work: gate, backwardWork: 2 * gate}),
  };
  if (isAdapted || weights.mlpOutputNorm) {
    const projected = product(setting, 'down', 'inner', 'down', hidden);
    const last = weights.mlpOutputNorm
      ? [normOp(setting, 'mlpOutputNorm', 'down', 'scaled', hidden)]
      : [];
    const added = last.length > 0 ? 'scaled' : 'down';
    return [
      ...before,
      gating,
      ...projected,
      ...last,
      {reads: ['x', added], writes: 'out', size: hidden, adds: ['x', added]},
    ];
  }
  return [
    ...before,
    {
      ...{reads: ['gated', 'upped', 'x'], writes: 'out', size: hidden, adds: ['x']},
      ...{keeps: ['gated', 'upped'], weights: ofRoles(setting, ['down']), mayOmitValue: true},
      work: gate + hidden,
      // the gradient of what is multiplied with `down`, and that value once more
      backwardWork: (isFused ? 1 : 3) * gate + (setting.isTrained ? gate : 0),
    },
  ];
}

function isSilu({config}: BlockSetting): boolean {
  return (architectures[config.architecture].activation ?? 'silu') === 'silu';
}

function normOp(
  setting: BlockSetting,
  role: BlockRole,
  reads: string,
  writes: string,
  size: number,
): Op {
  const hasKernel = setting.backend === 'wasm' || setting.backend === 'tensorflow';
  return {
    ...{reads: [reads], writes, size, keeps: [reads], weights: ofRoles(setting, [role])},
    ...(hasKernel ? {} : {work: size, backwardWork: 3 * size}),
  };
}

/** A product with a weight, and with the adapter beside it. */
function product(
  setting: BlockSetting,
  role: 'q' | 'k' | 'v' | 'o' | 'gate' | 'up' | 'down',
  reads: string,
  writes: string,
  size: number,
): Op[] {
  const {batch, length, isTrained, hasDropout} = setting;
  const [weight] = ofRoles(setting, [role]) as [Weight];
  const {adapterRank} = weight;
  const isInner = role !== 'o' && role !== 'down';
  if (adapterRank === 0) {
    // without a gradient of the weight, its input is not read again
    return [
      {
        reads: [reads],
        writes,
        size,
        isInner,
        keeps: isTrained ? [reads] : [],
        weights: ofRoles(setting, [role]),
      },
    ];
  }
  const [rows] = weight.shape as [number, number];
  const inner = FLOAT * batch * length * adapterRank;
  // the mask, and the input without what it sets to 0
  const dropped = hasDropout ? 2 * FLOAT * batch * length * rows : 0;
  return [
    {
      ...{reads: [reads], writes, size, isInner, keeps: hasDropout ? [] : [reads]},
      keepsOwn: inner + dropped,
      weights: withAdapters(setting, [role]),
      work: Math.max(2 * size + inner, dropped),
      backwardWork: 2 * inner,
    },
  ];
}

/** Queries or keys, rotated. */
function rotated(setting: BlockSetting, role: 'q' | 'k', size: number): Op[] {
  const norm: BlockRole = role === 'q' ? 'qNorm' : 'kNorm';
  const [first, ...further] = product(setting, role, 'normed', `${role}Product`, size);
  const normed = setting.weights[norm]
    ? [normOp(setting, norm, `${role}Product`, `${role}Normed`, size)]
    : [];
  const last = normed.length > 0 ? `${role}Normed` : `${role}Product`;
  return [
    first!,
    ...further,
    ...normed,
    // split in halves, multiplied, added and joined
    {reads: [last], writes: role, size, isInner: true, work: 3 * size, backwardWork: 3 * size},
  ];
}

/** Some positions at a time: their scores, the softmax of them, and what that takes. */
function causalAttention({config, batch, length}: BlockSetting, {queries, keys}: Sizes): Op {
  const {numAttentionHeads, slidingWindow} = config;
  const window = slidingWindow ?? Infinity;
  const positions = Math.min(length, rowsAtATime(length, window));
  const seen = Math.min(length, window + positions - 1);
  const scores = FLOAT * batch * numAttentionHeads * positions * seen;
  return {
    ...{reads: ['q', 'k', 'v'], writes: 'apart', size: queries, keeps: ['q', 'k', 'v']},
    isInner: true,
    work: queries + 3 * scores,
    // the gradient of the scores is made first, then those of queries, keys and values, joined if there are several pieces
    workBefore: queries + 4 * scores,
    backwardWork: queries + (positions < length ? Math.max(2 * keys, 2 * scores) : 2 * scores),
  };
}

function endingIn(ops: readonly Op[], name: string): Op[] {
  return ops.map((op) => (op.writes === 'out' ? {...op, writes: name} : op));
}

function renamed(op: Op, from: string, to: string): Op {
  const rename = (names: readonly string[]): string[] =>
    names.map((name) => (name === from ? to : name));
  const {reads, keeps = [], adds = []} = op;
  return {...op, reads: rename(reads), keeps: rename(keeps), adds: rename(adds)};
}
