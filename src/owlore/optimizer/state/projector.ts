import * as tf from '@tensorflow/tfjs-core';
import {smallestNormal} from '../../../kernels/capabilities';
import {OwLoreProject, type Side} from '../../../kernels/kernel_names';
import {runKernel} from '../../../kernels/run_kernel';
import {selects, type VariableInfo} from '../../../model/variable_selector';
import {sayOnce} from '../../../common/say_once';
import type {ResolvedOwLoreOptions} from '../options';
import {registeredVariable} from './variables';

/**
 * How one variable is projected. The variable is a matrix [rows, columns]; kernels of more axes are reshaped row-major to
 * [everything else, last axis]. It keeps its Adam state in the coordinates of a basis P with orthogonal columns, whose length is
 * 1 except with `scale: 'auto'` (APOLLO's are random, and neither orthogonal nor of length 1):
 * left P [rows, rank], R [rank, columns]; right P [columns, rank], R [rows, rank].
 */
export interface Projection {
  rows: number;
  columns: number;
  rank: number;
  side: Side;
}

/**
 * How a variable of `shape` is projected at `rank`; null if it is not. To be projected it must have more rows and more columns
 * than the rank, and a smaller optimizer state with the projection than without. `paper` takes the smaller dimension for the
 * basis (GaLore, Alg. 2), `auto` the side with the smaller state (optax), where the basis spans the larger dimension.
 */
export function planProjection(
  shape: readonly number[],
  rank: number,
  side: ProjectionOptions['side'],
): Projection | null {
  const {rows, columns} = matrixSizes(shape);
  const projection = {rows, columns, rank, side: resolveSide(side, rows, columns)};
  const isLowRank = rank < Math.min(rows, columns);
  return isLowRank && stateSize(projection) < 2 * rows * columns ? projection : null;
}

/** The sizes of the matrix that a variable of `shape` is, see {@link Projection}. */
export function matrixSizes(shape: readonly number[]): Pick<Projection, 'rows' | 'columns'> {
  const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
  return {rows, columns: shape.at(-1)!};
}

function resolveSide(side: ProjectionOptions['side'], rows: number, columns: number): Side {
  if (side === 'auto') return rows < columns ? 'right' : 'left';
  if (side === 'paper') return rows <= columns ? 'left' : 'right';
  return side;
}

/** Numbers kept for a projected variable: basis and two moments. Without projection it is 2·rows·columns. */
export function stateSize({rows, columns, rank, side}: Projection): number {
  return side === 'left' ? rank * (rows + 2 * columns) : rank * (columns + 2 * rows);
}

/** Shape of R, and so of the moments. */
export function projectedShape({rows, columns, rank, side}: Projection): [number, number] {
  return side === 'left' ? [rank, columns] : [rows, rank];
}

/** Shape of the basis P. */
export function basisShape({rows, columns, rank, side}: Projection): [number, number] {
  return [side === 'left' ? rows : columns, rank];
}

/** A projected variable, or its gradient, as the matrix [rows, columns]: itself if it is one. */
export function asMatrix(x: tf.Tensor, {rows, columns}: Projection): tf.Tensor2D {
  return x.rank === 2 ? (x as tf.Tensor2D) : tf.reshape(x, [rows, columns]);
}

/** R = PᵀG or G·P (GaLore, Alg. 2) of a gradient of the variable's shape. */
export function project(
  gradient: tf.Tensor,
  basis: tf.Tensor2D,
  projection: Projection,
): tf.Tensor2D {
  return tf.tidy(() => {
    const matrix = asMatrix(gradient, projection);
    const {side} = projection;
    const [fused] = runKernel(OwLoreProject, {gradient: matrix, basis}, {side}) ?? [];
    if (fused) return fused as tf.Tensor2D;
    return side === 'left' ? tf.matMul(basis, matrix, true) : tf.matMul(matrix, basis);
  });
}

/** P·N or N·Pᵀ: a low-rank step back in the weight's own space. */
export function projectBack(step: tf.Tensor2D, basis: tf.Tensor2D, side: Side): tf.Tensor2D {
  return side === 'left' ? tf.matMul(basis, step) : tf.matMul(step, basis, false, true);
}

/** A basis with its columns, which `scale: 'auto'` has made longer, set back to length 1. A column of zeros stays one. */
export function withUnitColumns(basis: tf.Tensor2D): tf.Tensor2D {
  return tf.div(basis, tf.sqrt(squaredLengths(basis)));
}

/**
 * Q, which takes coordinates in the old basis to those in the new one: P_newᵀG = Q·P_oldᵀG for G in the old subspace. It is
 * P_newᵀP_old if the columns of P_old have length 1; otherwise these columns are first divided by the squares of their lengths.
 */
export function rotationBetween(oldBasis: tf.Tensor2D, newBasis: tf.Tensor2D): tf.Tensor2D {
  return tf.matMul(newBasis, tf.div<tf.Tensor2D>(oldBasis, squaredLengths(oldBasis)), true);
}

/** ‖p‖² of each column; never 0, so that one can divide by it. */
function squaredLengths(basis: tf.Tensor2D): tf.Tensor1D {
  return tf.maximum(tf.sum(tf.square(basis), 0), smallestNormal());
}

/** Which variables are projected, and at what rank and side. */
export type ProjectionOptions = Pick<ResolvedOwLoreOptions, 'project' | 'rank' | 'side'>;

/** Decides how each variable is projected, and logs once which are not. */
export class Projections {
  /** By shape and name: a name may come to be that of another variable. */
  private readonly decided = new Map<string, Projection | null>();
  /** Names of the variables in blocks, which are those that `auto` projects; null if they are not known. */
  private blockVariables: ReadonlySet<string> | null = null;
  /** Whether the summary for these blocks was made. */
  private isSummarized = false;

  /**
   * @param isAsked Whether the user has chosen what is projected, or the rank, so that it matters if something is not.
   * @param stateOf The state of the variable of a name: `auto` goes on with it as it is, whatever the blocks are by now.
   */
  constructor(
    private readonly options: ProjectionOptions,
    private readonly isAsked = false,
    private readonly stateOf?: (name: string) => {moments: unknown; basis: unknown} | undefined,
  ) {}

  /** Decides anew, with other blocks. */
  setBlocks(blockVariables: ReadonlySet<string> | null): void {
    this.blockVariables = blockVariables;
    this.decided.clear();
    this.isSummarized = false;
  }

  /** How a variable is projected; null if it is not. */
  of(variable: VariableInfo): Projection | null {
    const key = `${variable.shape} ${variable.name}`;
    let projection = this.decided.get(key);
    if (projection === undefined) {
      const {rank, side, project} = this.options;
      const state = project === 'auto' ? this.stateOf?.(variable.name) : undefined;
      const isChosen = state?.moments ? state.basis !== null : this.isChosen(variable);
      const isCandidate = isChosen && !isDepthwiseKernel(variable.name);
      projection = isCandidate ? planProjection(variable.shape, rank, side) : null;
      this.decided.set(key, projection);
    }
    return projection;
  }

  /**
   * Logs, at the first call, which variables of the step and of the blocks are chosen and yet not projected, if that was asked for.
   *
   * @param variables Those that brought a gradient.
   */
  summarizeOnce(variables: readonly tf.Variable[]): void {
    if (this.isSummarized) return;
    this.isSummarized = true;
    if (!this.isAsked) return;
    const inBlocks = [...(this.blockVariables ?? [])].flatMap(
      (name) => registeredVariable(name) ?? [],
    );
    const choices = [...new Set([...variables, ...inBlocks])]
      .filter((variable) => this.isChosen(variable))
      .map((variable) => ({variable, projection: this.of(variable)}));
    const summary = summarizeProjections(choices, this.options);
    if (summary !== null) sayOnce('info', summary);
  }

  /** Whether a variable is to be projected where it is large enough. */
  private isChosen({name, shape}: VariableInfo): boolean {
    const {project} = this.options;
    if (project === false || shape.length < 2) return false;
    if (project !== 'auto') return selects(project, {name, shape});
    if (isDepthwiseKernel(name)) return false;
    return this.blockVariables ? this.blockVariables.has(name) : !/embed/i.test(name);
  }
}

/**
 * Whether a variable is the kernel [height, width, channels, multiplier] of a depthwise convolution, as DepthwiseConv2D and
 * SeparableConv2D of tfjs-layers name it: one small filter per channel, and so not a matrix, whatever its shape.
 */
function isDepthwiseKernel(name: string): boolean {
  return /(^|\/)depthwise_kernel(_\d+)?$/.test(name);
}

/** A matrix that was chosen to be projected, and whether it is. */
interface ProjectionChoice {
  variable: VariableInfo;
  projection: Projection | null;
}

/**
 * One line that says how many matrices are projected and why the others are not, with the names of those that a selector picked;
 * null if all are.
 */
function summarizeProjections(
  choices: readonly ProjectionChoice[],
  {project, rank}: ProjectionOptions,
): string | null {
  const full = choices.filter(({projection}) => !projection).map(({variable}) => variable);
  if (full.length === 0) return null;
  const projected = choices.length - full.length;
  if (project === 'auto') {
    return projected === 0
      ? `OwLoreOptimizer: no matrix is large enough for rank ${rank}: all are updated as by AdamW`
      : `OwLoreOptimizer: projects ${projected} of ${choices.length} matrices; the others are too small for rank ${rank}`;
  }
  const depthwise = full.filter(({name}) => isDepthwiseKernel(name));
  const small = full.filter(({name}) => !isDepthwiseKernel(name));
  const parts = [`projects ${projected} of ${choices.length} matrices`];
  if (small.length > 0) parts.push(`too small for rank ${rank}: ${list(small)}`);
  if (depthwise.length > 0) parts.push(`never projected, as depthwise kernels: ${list(depthwise)}`);
  return `OwLoreOptimizer: ${parts.join('; ')}`;
}

function list(variables: readonly VariableInfo[]): string {
  const shown = variables.slice(0, 4).map(({name, shape}) => `${name} [${shape}]`);
  const rest = variables.length - shown.length;
  return shown.join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}
