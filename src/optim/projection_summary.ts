import type {Projection} from './projector';
import type {VariableInfo} from '../model/variable_selector';

/** A variable that was asked to be projected, and what came of it. */
export interface ProjectionChoice {
  variable: VariableInfo;
  projection: Projection | null;
}

/**
 * One line that says where the rank was clamped and which matrices are not projected because that would not make their
 * state smaller; null if everything is as asked.
 */
export function summarizeProjections(
  choices: readonly ProjectionChoice[],
  rank: number,
): string | null {
  const full = choices.filter(({projection}) => !projection);
  const clamped = choices.filter(({projection}) => projection && projection.rank < rank);
  if (full.length === 0 && clamped.length === 0) return null;
  const parts = [`${choices.length - full.length} of ${choices.length} matrices are projected`];
  if (clamped.length > 0) {
    const ranks = [...new Set(clamped.map(({projection}) => projection!.rank))].sort(
      (a, b) => a - b,
    );
    parts.push(`rank ${rank} is clamped to ${ranks.join(', ')} for ${list(clamped)}`);
  }
  if (full.length > 0) {
    parts.push(`projection at rank ${rank} would not make the state smaller for ${list(full)}`);
  }
  return `OwLoreOptimizer: ${parts.join('; ')}`;
}

function list(choices: readonly ProjectionChoice[]): string {
  const shown = choices.slice(0, 4).map(({variable}) => `${variable.name} [${variable.shape}]`);
  const rest = choices.length - shown.length;
  return shown.join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}
