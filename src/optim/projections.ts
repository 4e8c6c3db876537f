import {planProjection, type Projection, type Side} from './projector';
import {selects, type VariableInfo, type VariableSelector} from '../model/variable_selector';

/** Which variables are projected, and at what rank and side. */
export interface ProjectionOptions {
  project: 'auto' | false | VariableSelector;
  rank: number;
  side: 'auto' | 'paper' | Side;
}

/** Decides once for each variable how it is projected. */
export class Projections {
  private readonly byName = new Map<string, Projection | null>();

  /** @param blockVariables Names of the variables in blocks, if they are known: those that `auto` projects. */
  constructor(
    private readonly options: ProjectionOptions,
    readonly blockVariables: ReadonlySet<string> | null = null,
  ) {}

  /** How a variable is projected; null if it is not. */
  of(variable: VariableInfo): Projection | null {
    let projection = this.byName.get(variable.name);
    if (projection === undefined) {
      const {rank, side} = this.options;
      const isCandidate = this.isChosen(variable) && !isDepthwiseKernel(variable.name);
      projection = isCandidate ? planProjection(variable.shape, rank, side) : null;
      this.byName.set(variable.name, projection);
    }
    return projection;
  }

  /** A line that says which of some variables are not projected though they are chosen; null if all are. */
  summary(variables: Iterable<VariableInfo>): string | null {
    const choices = [...variables]
      .filter((variable) => this.isChosen(variable))
      .map((variable) => ({variable, projection: this.of(variable)}));
    return summarizeProjections(choices, this.options);
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
 * SeparableConv2D of tfjs-layers name it: one small filter a channel and no matrix, whatever its shape.
 */
function isDepthwiseKernel(name: string): boolean {
  return /(^|\/)depthwise_kernel(_\d+)?$/.test(name);
}

/** A matrix that was chosen to be projected, and what came of it. */
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
      : `OwLoreOptimizer: ${projected} of ${choices.length} matrices are projected; the others are too small for rank ${rank}`;
  }
  const depthwise = full.filter(({name}) => isDepthwiseKernel(name));
  const small = full.filter(({name}) => !isDepthwiseKernel(name));
  const parts = [`${projected} of ${choices.length} matrices are projected`];
  if (small.length > 0) parts.push(`too small for rank ${rank}: ${list(small)}`);
  if (depthwise.length > 0) parts.push(`depthwise kernels never are: ${list(depthwise)}`);
  return `OwLoreOptimizer: ${parts.join('; ')}`;
}

function list(variables: readonly VariableInfo[]): string {
  const shown = variables.slice(0, 4).map(({name, shape}) => `${name} [${shape}]`);
  const rest = variables.length - shown.length;
  return shown.join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}
