/** Which matrices LoRA adapts, by their names. */
import {matchOf} from '../model/variable_selector';
import {display} from '../common/options';

/** Names of several matrices at once. */
const presets = {
  attention: /\bself_attn\.(q|k|v)_proj$/,
  mlp: /\bmlp\.(gate|up|down)_proj$/,
  'all-linear': null,
} as const;

/**
 * Which matrices are adapted: a name or the end of one after a dot, as peft's `target_modules` (`'q_proj'`), a pattern of
 * names, or a preset. `'attention'` (queries, keys, values) and `'mlp'` (gate, up, down) are for models of `loadLlama`;
 * `'all-linear'` is every matrix but embeddings and those of the layers that give the model's output.
 */
export type LoraTarget = string | RegExp;
/** One or several {@link LoraTarget}s. */
export type LoraTargets = LoraTarget | readonly LoraTarget[];

/** What a target is compared with. */
export interface TargetedName {
  /** As a module in peft. */
  module: string;
  /** Name of its layer. */
  layer: string;
  /** Whether it is an embedding's, or of a layer that gives the model's output. */
  isAtEnd: boolean;
}

/**
 * The targets one by one.
 *
 * @throws Error if one is none.
 */
export function targetList(owner: string, targets: LoraTargets): readonly LoraTarget[] {
  const list: readonly unknown[] = Array.isArray(targets) ? targets : [targets];
  const isTarget = (target: unknown): target is LoraTarget =>
    target instanceof RegExp || (typeof target === 'string' && target !== '');
  if (list.length > 0 && list.every(isTarget)) return list;
  throw new Error(
    `${owner}: targets must be names of matrices, regular expressions of them, or ${presetNames()}; got ${display(targets)}`,
  );
}

/** Whether a target names a matrix. */
export function isTargeted(target: LoraTarget, {module, layer, isAtEnd}: TargetedName): boolean {
  if (target === 'all-linear') return !isAtEnd;
  const pattern =
    typeof target === 'string' && Object.hasOwn(presets, target)
      ? presets[target as keyof typeof presets]!
      : target;
  if (pattern instanceof RegExp) return matchOf(pattern, module) !== null;
  return module === pattern || module.endsWith(`.${pattern}`) || layer === pattern;
}

function presetNames(): string {
  return Object.keys(presets)
    .map((name) => `'${name}'`)
    .join(', ');
}
