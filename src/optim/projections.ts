import {planProjection, type Projection, type Side} from './projector';
import {summarizeProjections} from './projection_summary';
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
      projection = this.isChosen(variable) ? planProjection(variable.shape, rank, side) : null;
      this.byName.set(variable.name, projection);
    }
    return projection;
  }

  /** A line that says where the projection of some variables is not as asked; null if all is. */
  summary(variables: Iterable<VariableInfo>): string | null {
    const choices = [...variables]
      .filter((variable) => this.isChosen(variable))
      .map((variable) => ({variable, projection: this.of(variable)}));
    return summarizeProjections(choices, this.options.rank);
  }

  /** Whether a variable is to be projected if that makes its state smaller. */
  private isChosen({name, shape}: VariableInfo): boolean {
    const {project} = this.options;
    if (project === false || shape.length < 2) return false;
    if (project !== 'auto') return selects(project, {name, shape});
    return this.blockVariables ? this.blockVariables.has(name) : !/embed/i.test(name);
  }
}
