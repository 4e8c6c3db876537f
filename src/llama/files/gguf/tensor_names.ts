/** llama.cpp's names of the weights of a model, and how their values differ from Hugging Face's. */
import {architectures, type ArchitectureName} from '../../architectures';
import {embedding, finalNorm, head, type BlockRole, type Weight} from '../../architectures/weights';
import type {ResolvedConfig} from '../../config';
import {EMBEDDING_TENSOR, HEAD_TENSOR} from './config';

/** A weight by its name, in the other convention, and what it is in its block. */
interface NamedPart {
  name: string;
  kind: Weight['kind'];
  role?: BlockRole;
}

/** By the role of a weight in its block, after `blk.0.`. */
const blockTensors: Readonly<Record<BlockRole, string>> = {
  q: 'attn_q.weight',
  qBias: 'attn_q.bias',
  qNorm: 'attn_q_norm.weight',
  k: 'attn_k.weight',
  kBias: 'attn_k.bias',
  kNorm: 'attn_k_norm.weight',
  v: 'attn_v.weight',
  vBias: 'attn_v.bias',
  o: 'attn_output.weight',
  gate: 'ffn_gate.weight',
  up: 'ffn_up.weight',
  down: 'ffn_down.weight',
  norm: 'attn_norm.weight',
  outputNorm: 'post_attention_norm.weight',
  mlpNorm: 'ffn_norm.weight',
  mlpOutputNorm: 'post_ffw_norm.weight',
};

const outside: Readonly<Record<string, Weight>> = {
  [EMBEDDING_TENSOR]: embedding,
  'output_norm.weight': finalNorm,
  [HEAD_TENSOR]: head,
};

/** What Hugging Face calls a tensor; null if the architecture has no such weight. */
export function huggingFaceName(architecture: ArchitectureName, tensor: string): NamedPart | null {
  if (Object.hasOwn(outside, tensor)) return outside[tensor]!;
  const [, block, part] = /^blk\.(0|[1-9]\d*)\.(.+)$/.exec(tensor) ?? [];
  const weights = Object.entries(architectures[architecture].weights) as Array<[BlockRole, Weight]>;
  const found = weights.find(([role]) => blockTensors[role] === part);
  if (!found) return null;
  const [role, {name, kind}] = found;
  return {name: `model.layers.${block}.${name}`, kind, role};
}

/** What llama.cpp calls a weight that the architecture has. */
export function ggufName(architecture: ArchitectureName, weight: string): NamedPart {
  const alone = Object.entries(outside).find(([, {name}]) => name === weight);
  if (alone) return {name: alone[0], kind: alone[1].kind};
  const [, block, part] = /^model\.layers\.(\d+)\.(.+)$/.exec(weight)!;
  const weights = Object.entries(architectures[architecture].weights) as Array<[BlockRole, Weight]>;
  const [role, {kind}] = weights.find(([, {name}]) => name === part)!;
  return {name: `blk.${block}.${blockTensors[role]}`, kind, role};
}

/** How the values of a tensor of a GGUF file differ from those of the weight that it is. */
export interface Conversion {
  /**
   * Rows of a head if the file has them interleaved for llama.cpp's rotary embedding of neighbouring pairs; 0 if in Hugging
   * Face's order.
   */
  interleavedRows: number;
  /** What is added to each value in the file. */
  shift: number;
}

/** @param config Of the model, whose architecture GGUF files hold under its own name. */
export function conversionOf(
  {architecture, headDim}: Pick<ResolvedConfig, 'architecture' | 'headDim'>,
  {kind, role}: Pick<NamedPart, 'kind' | 'role'>,
): Conversion {
  const {gguf, unitOffset} = architectures[architecture];
  const isRotated = role === 'q' || role === 'k';
  return {
    interleavedRows: isRotated && gguf?.interleavesRotary ? headDim : 0,
    shift: kind === 'norm' && unitOffset ? 1 : 0,
  };
}
