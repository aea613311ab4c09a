/** Overrides of the scene's defaults, checked against them by name and type whenever a scene starts or resumes: change a
 * number, press the kill button, and the next life plays by it. */
export default {
  damage: 10,
  respawnMs: 2_500,
};
