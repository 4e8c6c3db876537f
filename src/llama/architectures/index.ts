import * as all from './all';
import type {Architecture} from './architecture';

/** The name of an architecture: that of its file. */
export type ArchitectureName = keyof typeof all;

export const architectures: Readonly<Record<ArchitectureName, Architecture>> = all;

export const architectureNames = Object.keys(architectures) as ArchitectureName[];

/** The architecture of a `model_type`; undefined if there is none. */
export function architectureOfType(modelType: unknown): ArchitectureName | undefined {
  return architectureNames.find((name) => architectures[name].modelType === modelType);
}
